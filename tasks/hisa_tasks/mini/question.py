"""What a kind of question makes: one context and the questions on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        input: The question, with the beginning of the answer behind it.
        answers: References.
        evidence: Pieces of the context that the answer needs, for tests and oracles.
    """

    input: str
    answers: tuple[str, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Context:
    """A long text and the questions on it.

    Attributes:
        text: The long text.
        questions: On it.
        classes: All labels, where the answers are labels.
    """

    text: str
    questions: tuple[Question, ...]
    classes: tuple[str, ...] | None = None
