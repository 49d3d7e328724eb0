"""What a run asks: the samples of its steps, how answers are scored, and what their identity is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from hisa_eval.run.grid import Grid, Step
from hisa_tasks.sample import Sample, Tokenizer

TIMED_LENGTH = 2048
"""Tokens of the prompt that a forecast times."""

Score = Callable[[Sample, str], float]
"""How good a prediction is, 0 to 1."""


class Questions(Protocol):
    """What the runner needs of a suite."""

    @property
    def score(self) -> Score:
        """Scores a prediction."""
        ...

    def sample(self, step: Step, tokenizer: Tokenizer) -> Sample:
        """The sample of a step; the same whatever the indexer.

        Raises:
            ValueError: it cannot be built.
        """
        ...

    def name(self, step: Step) -> str:
        """Stable id of a step's sample for the record of one that could not be built."""
        ...

    def identity(self, step: Step) -> Mapping[str, Any]:
        """All of the suite's settings that change the sample or its score, for its key; JSON types only."""
        ...

    def details(self, sample: Sample) -> Mapping[str, Any]:
        """Further facts that the suite's tables need, for the record; JSON types only."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What a manifest says of the suite's data; JSON types only."""
        ...

    def trial(self, index: int, tokenizer: Tokenizer) -> Sample:
        """A short sample, to time a machine with.

        Args:
            index: 0 or 1; two different ones, so that nothing of the first is kept for the second.
            tokenizer: Of the model.
        """
        ...


class LengthTask(Protocol):
    """A task that builds prompts to a length."""

    def sample(self, length: int, depth: float, index: int, tokenizer: Tokenizer) -> Sample:
        """The sample of one place of a grid."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Everything that decides the prompts."""
        ...


@dataclass(frozen=True)
class TasksByLength:
    """Tasks that are laid out on a grid of lengths.

    Attributes:
        tasks: By name, as in records.
        score: Scores their samples.
        grid: The places.
        facts: What a manifest says beside the one task's or all tasks' own descriptions.
    """

    tasks: Mapping[str, LengthTask]
    score: Score
    grid: Grid
    facts: Mapping[str, Any] = field(default_factory=dict)
    _identities: dict[str, Mapping[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    def sample(self, step: Step, tokenizer: Tokenizer) -> Sample:
        """See `Questions.sample`."""
        if step.length is None:
            raise ValueError(f"task {step.task} needs a length")
        return self.tasks[step.task].sample(step.length, step.depth or 0.0, step.sample, tokenizer)

    def name(self, step: Step) -> str:
        """See `Questions.name`."""
        depth = "" if step.depth is None else f"/d{step.depth:g}"
        return f"{step.task}/{step.length}{depth}/s{step.sample}"

    def identity(self, step: Step) -> Mapping[str, Any]:
        """See `Questions.identity`."""
        if step.task not in self._identities:
            self._identities[step.task] = {"task": dict(self.tasks[step.task].describe())}
        return self._identities[step.task]

    def details(self, sample: Sample) -> Mapping[str, Any]:
        """Nothing: the record says it all."""
        return {}

    def describe(self) -> Mapping[str, Any]:
        """A single task's own description, or that of every task by name."""
        if not self.facts:
            (only,) = self.tasks.values()
            return only.describe()
        return {**self.facts, "tasks": {name: dict(task.describe()) for name, task in self.tasks.items()}}

    def trial(self, index: int, tokenizer: Tokenizer) -> Sample:
        """See `Questions.trial`; of the first task, at its shortest length where it needs that much, and the
        same sample twice where its data hold one alone."""
        task = next(iter(self.tasks.values()))
        shortest = self.grid.lengths[0]
        for length, place in ((min(TIMED_LENGTH, shortest), index), (shortest, index)):
            with suppress(ValueError):
                return task.sample(length, 100.0, place, tokenizer)
        return task.sample(shortest, 100.0, 0, tokenizer)
