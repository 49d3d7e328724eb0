"""The same sentence said several times, each time with its number: counting."""

from __future__ import annotations

import random

from hisa_eval.models.nano.training.exercise import Exercise, Maker, word

_STATEMENTS = [
    "The {k} was heard.",
    "A {k} passed by.",
    "Once more the {k} was seen.",
    "There was the {k} again.",
    "The {k} rang.",
    "Someone mentioned the {k}.",
    "They spoke of the {k}.",
    "He saw the {k}.",
    "Again somebody asked for the {k}.",
]
_QUESTIONS = [
    "How many times is the {k} in the text? The count of the {k} is",
    "How often is the {k} mentioned? The count of the {k} is",
    "Count the {k} above. The count of the {k} is",
    "Question: how many times does the {k} occur?\nAnswer: The number of times of the {k} is",
    "How many times do we meet the {k}? The {k} count is",
]
MOST = 5


class CountMaker(Maker):
    """Sentences such as "The bell rang (2)." one to five times, among those about other things.

    The highest number is the count: two layers did not learn to count sentences without numbers.
    """

    name = "count"

    def __init__(self, rng: random.Random, length: int) -> None:
        super().__init__(rng, length)
        mark = rng.choice((" ({i}).", " [{i}].", " no. {i}.", ": {i}.", f", {word(rng)} {{i}}."))
        self._statement = rng.choice(_STATEMENTS).removesuffix(".") + mark
        self._question = rng.choice(_QUESTIONS) if length > 512 else "The count of the {k} is"

    def n_distractors(self, n_asked: int, room: int) -> int:
        return self.rng.choice((0, 1, n_asked, min(40, room // 400)))

    def make(self) -> Exercise:
        key, number = self.fresh("pair"), self.rng.randint(1, MOST)
        return Exercise(
            tuple(self._statement.format(k=key, i=time).encode() for time in range(1, number + 1)),
            self._question.format(k=key).encode(),
            f" {number}".encode(),
        )
