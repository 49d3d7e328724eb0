"""Rows of data sets as a run: each has its own length, and is asked once with every indexer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hisa_eval.run.grid import Step
from hisa_eval.run.questions import Score
from hisa_tasks.sample import Sample, Tokenizer


@dataclass(frozen=True)
class Row:
    """One question of a data set.

    Attributes:
        name: Id of its sample.
        tokens: Estimated tokens of its context.
        make: Builds its sample with a model's tokenizer.
        fresh: Share of its prompt that the row before has not in common with it.
    """

    name: str
    tokens: float
    make: Callable[[Tokenizer], Sample]
    fresh: float = 1.0


@dataclass(frozen=True)
class Listing:
    """Every row of every data set with every indexer: layout and questions of a run in one.

    Attributes:
        rows: By task as in records, in the order of the tables.
        indexers: Labels, in the order of the tables.
        score: Scores a prediction.
        facts: What decides samples and scores of every task beside the rows, for keys; JSON types only.
        described: What a manifest says of the data; JSON types only.
        kept: Facts of a sample that tables need, by their names in `Sample.meta`.
    """

    rows: Mapping[str, Sequence[Row]]
    indexers: tuple[str, ...]
    score: Score
    facts: Mapping[str, Any]
    described: Mapping[str, Any]
    kept: tuple[str, ...]

    def __len__(self) -> int:
        return sum(map(len, self.rows.values())) * len(self.indexers)

    def steps(self) -> Iterator[Step]:
        """Every step once: task by task, indexer by indexer, rows in the file's order."""
        for task, rows in self.rows.items():
            for indexer in self.indexers:
                for place in range(len(rows)):
                    yield Step(None, indexer, place, None, task)

    def expected_tokens(self, step: Step) -> float:
        """The row's estimate."""
        return self._row(step).tokens

    def computed_fraction(self, step: Step) -> float:
        """What follows the part that a row shares with the one before."""
        return self._row(step).fresh

    def sample(self, step: Step, tokenizer: Tokenizer) -> Sample:
        """See `hisa_eval.run.questions.Questions.sample`."""
        return self._row(step).make(tokenizer)

    def name(self, step: Step) -> str:
        """The same id as that of the sample."""
        return self._row(step).name

    def identity(self, step: Step) -> Mapping[str, Any]:
        """See `hisa_eval.run.questions.Questions.identity`."""
        return {"task": {**self.facts, "name": self._row(step).name}}

    def details(self, sample: Sample) -> Mapping[str, Any]:
        """What tables need of the sample."""
        return {name: sample.meta[name] for name in self.kept if name in sample.meta}

    def describe(self) -> Mapping[str, Any]:
        """See `hisa_eval.run.questions.Questions.describe`."""
        return self.described

    def trial(self, index: int, tokenizer: Tokenizer) -> Sample:
        """One of the two shortest rows."""
        ordered = sorted((row for rows in self.rows.values() for row in rows), key=lambda row: row.tokens)
        return ordered[min(index, len(ordered) - 1)].make(tokenizer)

    def _row(self, step: Step) -> Row:
        return self.rows[step.task][step.sample]
