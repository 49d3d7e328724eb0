"""Needle sentences and their questions for training, in many phrasings.

RULER's own needle sentence and question are never produced here as a whole: they are held out.
"""

from __future__ import annotations

import random
import uuid

from hisa_eval.models.nano.training.exercise import Exercise, Maker, word
from hisa_eval.models.nano.training.text import letters_word, pseudo_word

_ADJECTIVES = ["special", "secret", "magic", "hidden", "private", "lucky", "official", "special secret",
               "special magic", "magic secret", "unique", "assigned"]  # fmt: skip
_TYPES = {
    "number": ["number", "code", "pin", "figure", "number"],
    "word": ["word", "password", "name", "phrase", "word"],
    "uuid": ["uuid", "token", "id", "identifier", "uuid"],
}
_STATEMENTS = [
    "The {a} {t} for {k} is: {v}.",
    "The {a} {t} for {k} is: {v}.",
    "The {t} for {k} is {v}.",
    "One of the {a} {t}s of {k} is: {v}.",
    "One {a} {t} for {k} is: {v}.",
    "One of the {t}s for {k} is: {v}.",
    "Note that the {a} {t} for {k} is {v}.",
    "Remember that the {t} of {k} is: {v}.",
    "For {k}, the {a} {t} is {v}.",
    "{k}'s {a} {t} is {v}.",
    "{k} has the {a} {t} {v}.",
    "The {a} {t} given to {k} is {v}.",
    "The {a} {t} for {k} was {v}.",
    "Here the {a} {t} of {k} equals {v}.",
    "Here is one {a} {t} for {k}: {v}.",
    "One of many {a} {t}s for {k} is: {v}.",
    "Among the {t}s, the {a} one for {k} is {v}.",
]
_QUESTIONS = [
    "What is the {a} {t} for {k}{w}? The {a} {t} for {k}{w} is",
    "What is the {a} {t} for {k}{w}? The {a} {t} for {k}{w} is",
    "What is the {a} {t} for {k}{w}? The {t} for {k} is",
    "What is the {t} of {k}{w}?\nThe {a} {t} of {k} is",
    "Which {t} belongs to {k}{w}? The {t} for {k} is:",
    "Question: what is the {a} {t} for {k}? Answer: the {t} for {k} is",
    "Tell me the {a} {t} for {k}{w}. The {a} {t} for {k} is",
    "The {a} {t} for {k}{w} is",
    "What was the {a} {t} for {k}{w}? Answer: The {a} {t} for {k}{w} is",
    "Say what {a} {t} {k} has{w}. {k} has the {t}",
    "Do you recall the {a} {t} for {k}{w}? Yes, the {a} {t} for {k}{w} is",
]
_WHERE = [
    "",
    "",
    " mentioned above",
    " in the text above",
    " mentioned in the text",
    " given in the document",
    " in the provided passage",
    " mentioned in the passage above",
    " as stated in the provided document",
    " found in the text",
    " that was given above",
    " mentioned in the given document",
    " hidden in the provided story",
]
_SHORT = [
    ("{k}: {v}.", "{k}:"),
    ("{k} is {v}.", "{k} is"),
    ("{k}={v};", "{k}="),
    ("The {k} is {v}.", "The {k} is"),
]
_MEDIUM = [
    ("The {t} for {k} is: {v}.", "The {t} for {k} is"),
    ("The {t} of {k} is {v}.", "What is the {t} of {k}? It is"),
    ("{k} has {t} {v}.", "{k} has {t}"),
]


def _adjective(rng: random.Random) -> str:
    return rng.choice(_ADJECTIVES) if rng.random() < 0.8 else word(rng)


def _key(rng: random.Random, style: str) -> str:
    if style == "short":
        return rng.choice((letters_word(rng)[:5], pseudo_word(rng)[:6]))
    kind = rng.random()
    if kind < 0.6:
        return f"{word(rng)}-{word(rng)}"
    if kind < 0.75:
        return word(rng)
    if kind < 0.85:
        return f"{word(rng).capitalize()} {word(rng).capitalize()}"
    if kind < 0.93:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return f"{word(rng)}{rng.randrange(1000)}"


def _value(rng: random.Random, kind: str, style: str) -> str:
    if style == "short":
        return str(rng.randrange(10 ** rng.randint(2, 6)))
    if kind == "number":
        digits = rng.choice((4, 5, 6, 7, 7, 7, 7, 8, 9))
        if rng.random() < 0.35:
            # The same few digits over and over: only all of the answer so far tells which one is next.
            return "".join(rng.choices(rng.sample("123456789", rng.randint(2, 3)), k=digits))
        return str(rng.randrange(10 ** (digits - 1), 10**digits))
    if kind == "word":
        return f"{word(rng)}-{word(rng)}" if rng.random() < 0.7 else word(rng)
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


class NeedleMaker(Maker):
    """Makes needles of one style, `"short"` (a few bytes each), `"medium"` or `"long"` (whole sentences)."""

    name = "needle"

    def __init__(self, rng: random.Random, length: int) -> None:
        super().__init__(rng, length)
        self._style = style_for(length, rng)
        self._adjective = _adjective(rng)
        kind = rng.choices(("number", "word", "uuid"), (0.7, 0.2, 0.1))[0]
        self._kind = kind
        # Now and then any word at all: what counts is the key, not the words around it.
        self._type = rng.choice(_TYPES[kind]) if rng.random() < 0.75 else word(rng)
        self._statement = rng.choice(_STATEMENTS)
        self._question = rng.choice(_QUESTIONS)
        self._where = rng.choice(_WHERE)
        self._pair = rng.choice(_SHORT if self._style == "short" else _MEDIUM)
        self._uniform = rng.random() < 0.6
        # Keys that share a half with others can only be told apart whole.
        self._kin = [word(rng) for _ in range(rng.randint(6, 24))] if rng.random() < 0.35 else []

    def make(self) -> Exercise:
        rng = self.rng
        key = _key(rng, self._style)
        if self._kin and self._style != "short":
            key = f"{rng.choice(self._kin)}-{rng.choice(self._kin)}"
        while key in self._seen:
            key = _key(rng, "long")
        self._seen.add(key)
        if not self._uniform:
            self._statement, self._question = rng.choice(_STATEMENTS), rng.choice(_QUESTIONS)
            self._where, self._adjective = rng.choice(_WHERE), _adjective(rng)
        fields = {"a": self._adjective, "t": self._type, "k": key, "w": self._where}
        value = _value(rng, self._kind, self._style)
        statement, question = (self._statement, self._question) if self._style == "long" else self._pair
        return Exercise(
            (statement.format(v=value, **fields).encode(),),
            question.format(**fields).encode(),
            f" {value}".encode(),
            firsts=(1, 2) if len(value) > 2 else (1,),
        )


def style_for(length: int, rng: random.Random) -> str:
    """How wordy the needles of a sequence of `length` bytes may be."""
    if length <= 512:
        return "short"
    if length <= 2048:
        return rng.choice(("short", "medium", "medium", "long"))
    return rng.choices(("short", "medium", "long"), (0.05, 0.15, 0.8))[0]
