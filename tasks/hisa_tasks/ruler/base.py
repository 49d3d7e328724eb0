"""What every RULER task is made of: settings that turn a place in a run into a prompt of an exact length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hisa_tasks.draws import Draws

Count = Callable[[str], int]
"""Tokens of a text."""


@dataclass(frozen=True)
class Place:
    """Which sample of a run: everything that its random draws depend on.

    Attributes:
        task: Name of the RULER task, e.g. `"vt"`.
        seed: Of the run.
        length: Context length in tokens, prompt and answer room together.
        index: Of the sample, from 0.
    """

    task: str
    seed: int
    length: int
    index: int

    def draws(self, what: str) -> Draws:
        """The stream of draws for one purpose."""
        return Draws("ruler", what, self.task, self.seed, self.length, self.index)


@dataclass(frozen=True)
class Built:
    """A finished prompt.

    Attributes:
        text: The whole prompt, answer prefix included.
        references: Expected answers, in RULER's order.
        evidence: Half-open character spans of `text` that hold the answer; empty where the whole text does.
        meta: Further facts, JSON types only.
    """

    text: str
    references: tuple[str, ...]
    evidence: tuple[tuple[int, int], ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


class Recipe(ABC):
    """How the prompts of one RULER task are made."""

    @abstractmethod
    def build(self, place: Place, budget: int, count: Count) -> Built:
        """A prompt of exactly `budget` tokens.

        Args:
            place: Decides all random draws.
            budget: Tokens of the prompt.
            count: Tokens of a text.

        Raises:
            TooShortError: The budget has no room for the task's smallest prompt.
            ValueError: The place cannot be used, or no text has exactly that many tokens.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that decides the prompts, JSON types only; large data as SHA-256."""
