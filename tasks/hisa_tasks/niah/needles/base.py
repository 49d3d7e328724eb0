"""What a needle family gives a prompt: sentences to hide, a question, the answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from hisa_tasks.draws import Draws


@dataclass(frozen=True)
class Needle:
    """One sentence to hide.

    Attributes:
        sentence: As it stands in the context, without white space around it.
        key: What the question asks by; empty where the family has no keys.
        value: The answer it holds.
        value_span: Half-open character span of the answer in `sentence`.
    """

    sentence: str
    key: str
    value: str
    value_span: tuple[int, int]


@dataclass(frozen=True)
class NeedleSet:
    """All that one sample hides and asks.

    Attributes:
        intro: Text before the context, its line break included; may be empty.
        question: Text after the context, its leading line break included.
        answer_prefix: The start of the answer, given to the model at the end of the prompt.
        queried: Needles that the question asks for.
        target: Index in `queried` of the one that goes to the depth asked for.
        distractors: Needles of the same form that it does not ask for.
        references: Expected answers.
    """

    intro: str
    question: str
    answer_prefix: str
    queried: tuple[Needle, ...]
    target: int
    distractors: tuple[Needle, ...]
    references: tuple[str, ...]


class NeedleFamily(ABC):
    """A kind of needle, by name."""

    name: str
    summary: str
    metric: str
    default_distractors: int

    @abstractmethod
    def draw(self, draws: Draws, n_distractors: int) -> NeedleSet:
        """A sample's needles; keys and values of distractors never collide with those asked for."""

    @abstractmethod
    def stray(self, draws: Draws, needles: NeedleSet) -> str:
        """One more distractor sentence, for a haystack of needles; never answers the question."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that decides its prompts, JSON types only."""
