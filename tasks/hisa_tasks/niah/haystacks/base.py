"""What a haystack gives a prompt: text as long as asked for, and where a sentence may be put into it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

from hisa_tasks.niah.needles.base import NeedleFamily, NeedleSet

Grow = Callable[[int, int], tuple[list[str], list[int]]]


class HaystackText:
    """The text of one (seed, length, sample), as long as anyone asked; growing never changes what is there.

    Args:
        grow: Called with the number of characters there are and the number still missing; returns further
            pieces of text, and the offsets in the whole text at which sentences of those pieces begin.
        separator: What stands between a needle and the sentence after it.
    """

    def __init__(self, grow: Grow, separator: str) -> None:
        self.separator = separator
        self.text = ""
        self.starts: list[int] = []
        self._grow = grow

    def ensure(self, n_chars: int) -> None:
        """Makes the text at least `n_chars` characters long."""
        while len(self.text) < n_chars:
            pieces, starts = self._grow(len(self.text), n_chars - len(self.text))
            self.text += "".join(pieces)
            self.starts += starts

    def start_at_or_before(self, offset: int) -> int:
        """The last sentence start that is not after `offset`; the text's own start at least."""
        return self.starts[max(0, bisect_right(self.starts, offset) - 1)]

    def start_after(self, offset: int) -> int:
        """The first sentence start after `offset`; the text grows as far as that takes."""
        while not self.starts or self.starts[-1] <= offset:
            self.ensure(len(self.text) + 4096)
        return self.starts[bisect_right(self.starts, offset)]

    def start_nearest(self, offset: float, last: int) -> int:
        """The sentence start nearest to `offset`, not after `last`; the earlier one of two as near."""
        after = bisect_left(self.starts, offset)
        near = [start for start in self.starts[max(0, after - 1) : after + 1] if start <= last]
        if not near:
            return self.start_at_or_before(last)
        return min(near, key=lambda start: (abs(start - offset), start))


class Haystack(ABC):
    """A kind of haystack, by name."""

    name: str
    summary: str

    @abstractmethod
    def open(self, family: NeedleFamily, needles: NeedleSet, *parts: str | int) -> HaystackText:
        """The text for one sample, fixed by `parts` (and by the needles where it is made of needles)."""

    @abstractmethod
    def filler(self, following: str) -> str:
        """Text for the last, cut sentence, given the text that would follow there."""

    @abstractmethod
    def mentions(self, text: str) -> bool:
        """Whether the haystack may contain `text` (an answer must not stand in it by chance)."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that decides its text, JSON types only; large data as SHA-256."""
