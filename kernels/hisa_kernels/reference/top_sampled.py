"""Top-k of wide rows on a CPU: a sample says where the k-th value must lie, and little is looked at twice.

Partitioning a row of 128K scores to find its best 2,048 takes longer than a third of the scoring itself. The
sample's bound leaves a few thousand candidates; what it says is checked, never trusted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RUN, STRIDE = 16, 256
"""Neighbouring columns that are sampled out of how many: 16 scores are one line of cache."""

LEAST_RATIO = 12
"""Width over k below which nothing is saved."""

_MARGIN = 1.25
_SPARE = 32
"""The sample's rank is taken lower by both, so that a row rarely ends up with too few candidates."""

LOWEST = np.finfo(np.float32).min
"""What is less, −inf, is never chosen."""


def worth_sampling(width: int, limit: int) -> bool:
    """Whether rows of that width are wide enough for their k."""
    return width >= LEAST_RATIO * limit and width >= 4 * STRIDE


def sampled_top(
    values: NDArray[np.float32], limit: int, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns that reach each row's k-th value, as far as the sample's candidates show it.

    Args:
        values: Scores `[r, n]` f32, −inf where a column may not be chosen.
        limit: k.
        mask: Buffer `[r, n]`.

    Returns:
        Positions in the flattened scores, ascending; and how many of them each row got. A row that got k of
        them has its best k. One with fewer had too few candidates (or columns), one with more has ties.
    """
    n_rows, width = values.shape
    np.greater_equal(values, np.maximum(_bounds(values, limit), LOWEST), out=mask)
    flat = marked(mask.reshape(-1))
    counts = count_by_row(flat, n_rows, width)
    found = values.reshape(-1).take(flat)
    least = np.full(n_rows, -np.inf, np.float32)
    first = 0
    for row, count in enumerate(counts.tolist()):
        if count > limit:
            least[row] = np.partition(found[first : first + count], count - limit)[count - limit]
        first += count
    flat = flat.take(np.flatnonzero(found >= np.repeat(least, counts)))
    return flat, count_by_row(flat, n_rows, width)


def _bounds(values: NDArray[np.float32], limit: int) -> NDArray[np.float32]:
    """A value for each row that somewhat more than `limit` columns are likely to reach `[r, 1]`."""
    n_rows, width = values.shape
    runs = width // STRIDE
    sample = values[:, : runs * STRIDE].reshape(n_rows, runs, STRIDE)[:, :, :RUN].reshape(n_rows, -1)
    size = sample.shape[1]
    rank = min(size, int(_MARGIN * limit * size / width) + _SPARE)
    sample.partition(size - rank, axis=1)
    return sample[:, size - rank, None]


def marked(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where a flat contiguous mask is true, ascending: eight places at a time, since few are."""
    whole = len(mask) // 8 * 8
    eights = mask[:whole].view(np.uint64)
    some = np.flatnonzero(eights != 0)
    inside = np.flatnonzero(eights.take(some).view(np.bool_))
    found = some.take(inside >> 3)
    found *= 8
    found += inside & 7
    rest = np.flatnonzero(mask[whole:])
    return np.concatenate((found, whole + rest)) if len(rest) else found


def count_by_row(flat: NDArray[np.int64], n_rows: int, width: int) -> NDArray[np.int64]:
    """How many of the ascending positions lie in each row."""
    return np.diff(np.searchsorted(flat, np.arange(n_rows + 1) * width))
