"""Sentences that say what matters, to be repeated word for word: summaries."""

from __future__ import annotations

import random

from hisa_eval.models.nano.training.exercise import Exercise, Maker, word

_FORMS = [
    ("The main point about {k} is that {s}.", "The main point about {k} is that"),
    ("Key point of {k}: {s}.", "Key point of {k}:"),
    ("In short, about {k}: {s}.", "In short, about {k}:"),
    ("The main finding on {k} is that {s}.", "The main finding on {k} is that"),
    ("What matters about {k} is that {s}.", "The main point about {k} is that"),
    ("To sum up {k}: {s}.", "Summary of {k}:"),
]
_QUESTIONS = [
    "What is said about {k}?",
    "Sum up the part about {k}.",
    "Write a summary of {k}.",
    "Summarize {k} in one sentence.",
]


class MainPointMaker(Maker):
    """Statements such as "The main point about Brenn is that nobody came to the old bridge."."""

    name = "main point"

    def __init__(self, rng: random.Random, length: int) -> None:
        super().__init__(rng, length)
        self._form = rng.choice(_FORMS)
        self._question = "" if length <= 512 else f"{rng.choice(_QUESTIONS)}{rng.choice((' ', chr(10)))}"
        self._vocabulary = [word(rng) for _ in range(rng.choice((30, 200)))]
        self._key = rng.choice(("word", "name", "pair"))
        self._most = 5 if length <= 512 else 16

    def make(self) -> Exercise:
        rng = self.rng
        key = self.fresh(self._key)
        sentence = " ".join(rng.choices(self._vocabulary, k=rng.randint(4, self._most)))
        statement, prefix = self._form
        return Exercise(
            (statement.format(k=key, s=sentence).encode(),),
            (self._question + prefix).format(k=key).encode(),
            f" {sentence}".encode(),
        )
