"""What a run does, in which order: cells, and in each its steps of one sample with one indexer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Cell(NamedTuple):
    """What is counted and told of together: one square of one indexer's heatmap, or one task's row.

    Attributes:
        length: Context length asked for, in tokens; None where each sample has its own.
        depth: Of the needle in per cent; None where a task has none.
        indexer: Label.
        task: Name, as in records.
    """

    length: int | None
    depth: float | None
    indexer: str
    task: str = "niah"


class Step(NamedTuple):
    """One sample with one indexer; the fields are those of `Cell`, `sample` counts from 0."""

    length: int | None
    indexer: str
    sample: int
    depth: float | None
    task: str = "niah"

    @property
    def cell(self) -> Cell:
        """The cell that this step belongs to."""
        return Cell(self.length, self.depth, self.indexer, self.task)


class Layout(Protocol):
    """The steps of a run."""

    def __len__(self) -> int:
        """Steps of the whole run."""
        ...

    def steps(self) -> Iterator[Step]:
        """Every step once, in running order; all of one length and task stand together."""
        ...

    def expected_tokens(self, step: Step) -> float:
        """Tokens of the step's context, estimated where each sample has its own length."""
        ...

    def computed_fraction(self, step: Step) -> float:
        """The share of a prompt that its model has to compute, where it keeps what is shared with the step
        before."""
        ...


def cells_of(layout: Layout) -> dict[Cell, int]:
    """Every cell once, in running order, with the number of its samples."""
    found: dict[Cell, int] = {}
    for step in layout.steps():
        found[step.cell] = found.get(step.cell, 0) + 1
    return found


@dataclass(frozen=True)
class Grid:
    """Lengths, tasks, depths, samples and indexers of a run: every combination.

    Attributes:
        lengths: Context lengths in tokens, ascending.
        depths: Needle depths in per cent, ascending; `(None,)` for tasks that have none.
        samples: Samples per cell.
        indexers: Labels, in the order of the tables.
        tasks: Names, in the order of the tables.
    """

    lengths: tuple[int, ...]
    depths: tuple[float | None, ...]
    samples: int
    indexers: tuple[str, ...]
    tasks: tuple[str, ...] = ("niah",)

    def __len__(self) -> int:
        axes = (self.lengths, self.tasks, self.depths, self.indexers)
        total = self.samples
        for axis in axes:
            total *= len(axis)
        return total

    def steps(self) -> Iterator[Step]:
        """Every step once, in running order.

        Short contexts come first, so that a run that cannot finish has finished something. Depths descend,
        because a sample's prompts agree up to the shallower needle: the model keeps what it computed of that
        prefix, and the deepest needle leaves the longest one.
        """
        for length in self.lengths:
            for task in self.tasks:
                for indexer in self.indexers:
                    for sample in range(self.samples):
                        for depth in reversed(self.depths):
                            yield Step(length, indexer, sample, depth, task)

    def expected_tokens(self, step: Step) -> float:
        """The length asked for."""
        return float(step.length or 0)

    def computed_fraction(self, step: Step) -> float:
        """All of a prompt for a sample's first step, else what follows the needle."""
        if step.depth is None or step.depth == self.depths[-1]:
            return 1.0
        return 1.0 - step.depth / 100


def make_grid(
    lengths: Sequence[int],
    depths: Sequence[float],
    samples: int,
    indexers: Sequence[str],
    tasks: Sequence[str] = ("niah",),
) -> Grid:
    """A grid in canonical order, with repeats removed.

    Args:
        lengths: Context lengths in tokens.
        depths: Needle depths in per cent; none for tasks that have no depth.
        samples: Samples per cell.
        indexers: Labels.
        tasks: Names, as in records.
    """
    return Grid(
        tuple(sorted(set(lengths))),
        tuple(sorted(set(depths))) or (None,),
        samples,
        tuple(dict.fromkeys(indexers)),
        tuple(dict.fromkeys(tasks)),
    )
