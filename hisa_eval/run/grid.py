"""The grid of a run: which samples, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Cell(NamedTuple):
    """One square of one indexer's heatmap."""

    length: int
    depth: float
    indexer: str


class Step(NamedTuple):
    """One sample with one indexer."""

    length: int
    indexer: str
    sample: int
    depth: float

    @property
    def cell(self) -> Cell:
        """The cell that this step belongs to."""
        return Cell(self.length, self.depth, self.indexer)


@dataclass(frozen=True)
class Grid:
    """Lengths, depths, samples and indexers of a run.

    Attributes:
        lengths: Context lengths in tokens, ascending.
        depths: Needle depths in per cent, ascending.
        samples: Samples per cell.
        indexers: Labels, in the order of the tables.
    """

    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    samples: int
    indexers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.lengths) * len(self.depths) * self.samples * len(self.indexers)

    def cells(self) -> list[Cell]:
        """Every cell once."""
        return [
            Cell(length, depth, indexer)
            for length in self.lengths
            for indexer in self.indexers
            for depth in self.depths
        ]

    def steps(self) -> Iterator[Step]:
        """Every step once, in running order.

        Short contexts come first, so that a run that cannot finish has finished something. Depths descend,
        because a sample's prompts agree up to the shallower needle: the model keeps what it computed of that
        prefix, and the deepest needle leaves the longest one.
        """
        for length in self.lengths:
            for indexer in self.indexers:
                for sample in range(self.samples):
                    for depth in reversed(self.depths):
                        yield Step(length, indexer, sample, depth)

    def computed_fraction(self, step: Step) -> float:
        """The share of a prompt that its model has to compute, where it keeps the prefix shared with the
        step before: all of it for a sample's first step, else what follows the needle."""
        return 1.0 if step.depth == self.depths[-1] else 1.0 - step.depth / 100


def make_grid(lengths: Sequence[int], depths: Sequence[float], samples: int, indexers: Sequence[str]) -> Grid:
    """A grid in canonical order, with repeats removed.

    Args:
        lengths: Context lengths in tokens.
        depths: Needle depths in per cent.
        samples: Samples per cell.
        indexers: Labels.
    """
    return Grid(
        tuple(sorted(set(lengths))), tuple(sorted(set(depths))), samples, tuple(dict.fromkeys(indexers))
    )
