"""Numbered passages, and the question which one bears a title: passage retrieval."""

from __future__ import annotations

import random

from hisa_eval.models.nano.training.exercise import Exercise, Maker

_WORDS = ["Paragraph", "Paragraph", "Passage", "Section", "Part", "Chapter", "Text"]
_QUESTIONS = [
    'Which {l} is about "{t}"? "{t}" is {w}',
    'Where does it say "{t}"? "{t}" is in {w}',
    'The {l} that is called "{t}" is {w}',
    '"{t}" opens {w}',
    "Abstract: {t}\nIt is from {w}",
]


class PassageMaker(Maker):
    """Headings such as "Old bridges (Paragraph 7)" all over the text; asked is the number.

    The number stands behind the title: two layers did not learn to find one that stands before it.
    """

    name = "passage"
    text_share = 0.3

    def __init__(self, rng: random.Random, length: int) -> None:
        super().__init__(rng, length)
        self._word = rng.choice(_WORDS)
        self._question = rng.choice(_QUESTIONS) if length > 512 else '"{t}" is in {w}'
        most = min(60, max(3, length // 60))
        self._n = rng.choice((rng.randint(2, min(most, 9)), rng.randint(2, most), rng.randint(2, most)))
        self._numbers = list(range(1, self._n + 1))
        rng.shuffle(self._numbers)
        self.ordered = rng.random() < 0.6
        self._break = rng.choice(("\n\n", "\n"))
        self._after = rng.choice((". ", ".\n", " "))

    def n_distractors(self, n_asked: int, room: int) -> int:
        return max(0, self._n - n_asked)

    def make(self) -> Exercise:
        if not self._numbers:
            self._n += 1
            self._numbers.append(self._n)
        number, title = self._numbers.pop(), self.fresh("pair").capitalize()
        return Exercise(
            (f"{self._break}{title} ({self._word} {number}){self._after}".encode(),),
            self._question.format(t=title, w=self._word, l=self._word.lower()).encode(),
            f" {number}".encode(),
            firsts=tuple(range(1, 1 + len(str(number)))),
            order=number,
        )
