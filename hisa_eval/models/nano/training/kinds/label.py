"""Examples with labels, and one more example whose label is wanted: few-shot learning."""

from __future__ import annotations

import random

from hisa_eval.models.nano.training.exercise import Exercise, Maker, word

_FIELDS = [
    ("Text", "Type"),
    ("Question", "Category"),
    ("Item", "Class"),
    ("Sentence", "Topic"),
    ("Input", "Label"),
    ("Phrase", "Group"),
    ("Line", "Tag"),
    ("Request", "Action"),
]


class LabelMaker(Maker):
    """Examples such as "Text: old wooden bridge", "Type: road": the last word decides the label.

    The label of the last example is that of the earlier ones with the same last word; the others differ.
    """

    name = "label"
    marks = (b"\n",)

    def __init__(self, rng: random.Random, length: int) -> None:
        super().__init__(rng, length)
        self._text, self._label = rng.choice(_FIELDS)
        self._labels = [word(rng).capitalize() for _ in range(rng.choice((2, 4, 6, 8, 12)))]
        self._fillers = [word(rng) for _ in range(rng.choice((6, 20, 100)))]
        self._end = rng.choice(("\n", "\n\n"))
        self._most = rng.choice((1, 1, 2, 3))
        self._long = 3 if length <= 512 else rng.choice((3, 6, 12))
        self.text_share = rng.choice((0.05, 0.05, 0.4))

    def n_distractors(self, n_asked: int, room: int) -> int:
        return room // 30 if self.text_share < 0.1 else super().n_distractors(n_asked, room)

    def _example(self, cue: str) -> str:
        words = self.rng.choices(self._fillers, k=self.rng.randint(1, self._long))
        return f"{self._text}: {' '.join((*words, cue))}\n{self._label}:"

    def make(self) -> Exercise:
        cue, label = self.fresh(), self.rng.choice(self._labels)
        shown = [f"\n{self._example(cue)} {label}{self._end}" for _ in range(self.rng.randint(1, self._most))]
        return Exercise(
            tuple(one.encode() for one in shown), self._example(cue).encode(), f" {label}".encode(), end=b""
        )
