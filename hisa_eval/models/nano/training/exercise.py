"""An exercise: statements to hide in a text, a question about them, and its answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from hisa_eval.models.nano.training.text import english_vocabulary, letters_word, pseudo_word


@dataclass(frozen=True)
class Exercise:
    """What is hidden and what is asked.

    Attributes:
        statements: Pieces of text that the answer needs, all before the question.
        question: Ends just before the answer.
        answer: The bytes to predict.
        firsts: Offsets in the answer of the bytes that show whether something was found.
        end: What closes the answer, before the end-of-sequence mark.
        order: Place of the statements among those of an ordered maker.
    """

    statements: tuple[bytes, ...]
    question: bytes
    answer: bytes
    firsts: tuple[int, ...] = (1,)
    end: bytes = b"."
    order: int = 0


class Maker:
    """Makes the exercises of one sequence, in one style, so that distractors look like their targets.

    Args:
        rng: Source of every choice.
        length: Tokens of the sequence.

    Attributes:
        name: Of the kind of question, in logs.
        marks: Ends of the places where a statement may be put in.
        text_share: Least share of the sequence (questions apart) that stays ordinary text.
        ordered: Whether statements lie in the order of `Exercise.order`.
        code: Whether the ordinary text is mostly source code.
    """

    name: ClassVar[str]
    marks: tuple[bytes, ...] = (b". ", b".\n", b"\n")
    text_share: float = 0.3
    ordered: bool = False
    code: bool = False

    def __init__(self, rng: random.Random, length: int) -> None:
        self.rng = rng
        self.length = length
        self._seen: set[str] = set()

    def make(self) -> Exercise:
        """An exercise whose key no other of this sequence has."""
        raise NotImplementedError

    def n_distractors(self, n_asked: int, room: int) -> int:
        """How many exercises leave their statements in the text without being asked.

        Args:
            n_asked: Questions of the sequence.
            room: Bytes that are not taken yet.
        """
        return self.rng.choice((0, 0, n_asked, 2 * n_asked, int(self.rng.random() * room / 200)))

    def fresh(self, make: str = "word") -> str:
        """A word (or another of `_DRAWS`) that this maker has not given before."""
        found = _DRAWS[make](self.rng)
        while found in self._seen:
            found = f"{_DRAWS[make](self.rng)}{self.rng.choice('aeiouy')}"
        self._seen.add(found)
        return found


def word(rng: random.Random) -> str:
    """An English word of the standard library's help, a pronounceable one, or random letters."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(english_vocabulary())
    return pseudo_word(rng) if kind < 0.75 else letters_word(rng)


def proper_name(rng: random.Random) -> str:
    """One or two capitalised words."""
    first = word(rng).capitalize()
    return first if rng.random() < 0.5 else f"{first} {word(rng).capitalize()}"


def pair(rng: random.Random) -> str:
    """One to three words."""
    return " ".join(word(rng) for _ in range(rng.choice((1, 2, 2, 3))))


def identifier(rng: random.Random) -> str:
    """One to three words joined by underscores."""
    return "_".join(word(rng) for _ in range(rng.choice((1, 2, 2, 3))))


def letters(rng: random.Random) -> str:
    """Three or four random letters."""
    return letters_word(rng)[: rng.choice((3, 4))]


_DRAWS: dict[str, Callable[[random.Random], str]] = {
    "word": word,
    "name": proper_name,
    "pair": pair,
    "identifier": identifier,
    "letters": letters,
}
