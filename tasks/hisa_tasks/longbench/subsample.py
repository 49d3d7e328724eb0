"""A part of a data set, chosen by hash: never its first rows, and a small part lies inside a larger one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hisa_tasks.draws import seed_of

T = TypeVar("T")


def subsample(items: Sequence[T], n: int | None, *, key: Callable[[T], str], seed: int = 0) -> tuple[T, ...]:
    """The `n` items whose ids hash lowest, in their own order.

    An item's rank depends on its id and the seed alone, so the choice of 10 lies inside that of 20, and a row
    that is added or lost elsewhere moves at most one place.

    Args:
        items: All of them.
        n: How many; None or more than there are for all.
        key: Stable id of an item.
        seed: Another seed, another choice.

    Raises:
        ValueError: `n` is below 1.
    """
    if n is not None and n < 1:
        raise ValueError(f"a sub-sample of {n} – take 1 or more")
    if n is None or n >= len(items):
        return tuple(items)
    hashes = [seed_of("subsample", seed, key(item)) for item in items]
    ranked = sorted(range(len(items)), key=lambda place: (hashes[place], place))
    return tuple(items[place] for place in sorted(ranked[:n]))
