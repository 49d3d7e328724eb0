"""Random draws that are the same on every platform and every Python version."""

from __future__ import annotations

import hashlib
import random
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")


def seed_of(*parts: str | int) -> int:
    """A 256-bit seed from named parts, by SHA-256 of their unambiguous joining.

    Args:
        parts: What the draw depends on; order counts, and `("a", "bc")` differs from `("ab", "c")`.

    Returns:
        A non-negative integer.
    """
    text = "".join(f"{len(str(part))}:{part}," for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest(), "big")


class Draws:
    """A stream of draws fixed by the parts that name it.

    Only `random.Random.random` is used underneath: the one method whose sequence Python promises to keep.

    Args:
        parts: See `seed_of`.
    """

    def __init__(self, *parts: str | int) -> None:
        self.random = random.Random(seed_of(*parts)).random

    def below(self, n: int) -> int:
        """An integer from 0 to n - 1, for n up to 2^32."""
        return int(self.random() * n)

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, all equally likely."""
        return items[int(self.random() * len(items))]

    def bits(self, n: int) -> int:
        """An integer of n random bits; n is a multiple of 32."""
        value = 0
        for _ in range(n // 32):
            value = value << 32 | self.below(1 << 32)
        return value

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Puts the items into a random order, in place."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
