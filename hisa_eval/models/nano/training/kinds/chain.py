"""Two facts of two documents, the second about what the first names: multi-document questions."""

from __future__ import annotations

import random

from hisa_eval.models.nano.training.exercise import Exercise, Maker, word

_FIRST = [
    "The {r} of {n}{g} is {p}.",
    "The {r} of {n}{g} was {p}.",
    "{n}'s {r}{g} is {p}.",
    "As {r} of {n} they chose {p}.",
]
_GAPS = ["", "", "", ", it is said,", " for many years", ", we read,"]
_SECOND = [
    ("lives in", "home"),
    ("was born in", "birthplace"),
    ("works at", "workplace"),
    ("belongs to", "owner"),
    ("came from", "origin"),
    ("studied in", "school"),
    ("moved to", "town"),
    ("died in", "grave"),
]
_QUESTIONS = [
    "Who is the {r} of {n}, and what is that one's {w}? The {r} of {n} and the {w} are",
    "Name the {r} of {n} and that one's {w}.\nAnswer: The {r} of {n} and the {w} are",
    "Which {w} has the {r} of {n}? The {r} of {n} and the {w} are",
    "Question: who was the {r} of {n}, with the {w}?\n{n}'s {r} and the {w} are",
    "Find the {w} of the {r} of {n}. {n}'s {r} and {w} are",
]
_HEADINGS = ["", "", "\n\nDocument {i}:\n", "\n\nText {i}. ", "\n[{i}] "]


class ChainMaker(Maker):
    """Statements such as "The guard of Brenn is Tol." and "Tol lives in Marn."; the answer is "Tol, Marn".

    Two layers cannot follow a chain silently: the answer writes down the fact in between.
    """

    name = "chain"

    def __init__(self, rng: random.Random, length: int) -> None:
        super().__init__(rng, length)
        self._relations = [word(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
        self._first, self._gap = rng.choice(_FIRST), rng.choice(_GAPS)
        self._verb, self._where = rng.choice(_SECOND)
        self._question = rng.choice(_QUESTIONS)
        self._heading = rng.choice(_HEADINGS) if length > 1024 else ""

    def _document(self, text: str) -> bytes:
        return (self._heading.format(i=self.rng.randint(1, 40)) + text).encode()

    def make(self) -> Exercise:
        rng = self.rng
        owner, person = self.fresh("name"), self.fresh("name")
        place = word(rng).capitalize()
        fields = {"r": rng.choice(self._relations), "n": owner, "g": self._gap, "w": self._where}
        question = self._question if self.length > 512 else "The {r} of {n} and the {w} are"
        return Exercise(
            (
                self._document(self._first.format(p=person, **fields)),
                self._document(f"{person} {self._verb} {place}."),
            ),
            question.format(**fields).encode(),
            f" {person}, {place}".encode(),
            firsts=(1, len(f" {person}, ".encode())),
        )
