"""Facts with an attribute and an owner: single-document questions."""

from __future__ import annotations

import random

from hisa_eval.models.nano.training.exercise import Exercise, Maker, proper_name, word

_STATEMENTS = [
    "The {a} of {n}{g} is {v}.",
    "The {a} of {n}{g} was {v}.",
    "{n}'s {a}{g} is {v}.",
    "For {n} the {a}{g} was {v}.",
    "As {a} of {n} they named {v}.",
    "Note: the {a} of {n} is {v}.",
    "{n} had as {a} {v}.",
]
_GAPS = ["", "", "", ", as we know,", ", I am told,", " at that time", " to this day", ", they write,"]
_QUESTIONS = [
    "What is the {a} of {n}?",
    "What was the {a} of {n}?",
    "Which {a} does {n} have?",
    "Name the {a} of {n}.",
    "Do you recall the {a} of {n}?",
    "Question: what is {n}'s {a}?",
]
_PREFIXES = [
    "The {a} of {n} is",
    "The {a} of {n} was",
    "{n}'s {a} is",
    "the {a} of {n} is",
    "The {a} of {n}:",
]
_GLUE = [" ", " ", "\n", "\nAnswer: ", " Answer: "]


class LookupMaker(Maker):
    """Statements such as "The harbour of Brenn is Tol."; owners share attributes and attributes owners."""

    name = "lookup"

    def __init__(self, rng: random.Random, length: int) -> None:
        super().__init__(rng, length)
        self._attributes = [word(rng) for _ in range(rng.choice((1, 2, 3, 6)))]
        self._owners = [proper_name(rng) for _ in range(rng.randint(3, 12))] if rng.random() < 0.4 else []
        self._named = rng.random() < 0.5
        self._uniform = rng.random() < 0.6
        self._draw()

    def _draw(self) -> None:
        rng = self.rng
        self._statement, self._gap = rng.choice(_STATEMENTS), rng.choice(_GAPS)
        question = "" if self.length <= 512 or rng.random() < 0.1 else rng.choice(_QUESTIONS)
        self._question = question + (rng.choice(_GLUE) if question else "") + rng.choice(_PREFIXES)

    def make(self) -> Exercise:
        rng = self.rng
        if not self._uniform:
            self._draw()
        attribute = rng.choice(self._attributes)
        owner = rng.choice(self._owners) if self._owners else self.fresh("name")
        if f"{attribute}/{owner}" in self._seen:
            owner = self.fresh("name")
        self._seen.add(f"{attribute}/{owner}")
        value = proper_name(rng) if self._named else word(rng)
        if rng.random() < 0.15:
            value = str(rng.randrange(10, 100_000))
        fields = {"a": attribute, "n": owner, "g": self._gap}
        return Exercise(
            (self._statement.format(v=value, **fields).encode(),),
            self._question.format(**fields).encode(),
            f" {value}".encode(),
        )
