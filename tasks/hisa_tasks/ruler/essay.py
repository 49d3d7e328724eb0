"""Running text on a single line, as RULER's essays are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hisa_tasks.niah.haystacks.base import Haystack, HaystackText
from hisa_tasks.niah.needles.base import NeedleFamily, NeedleSet


@dataclass(frozen=True)
class Essay(Haystack):
    """Another haystack with every run of white space turned into one space.

    Args:
        inner: Where the text comes from.

    Source: NVIDIA/RULER, scripts/data/synthetic/niah.py (haystack type `essay`).
    """

    inner: Haystack

    @property
    def name(self) -> str:  # type: ignore[override]
        """Of the text behind it."""
        return self.inner.name

    @property
    def summary(self) -> str:  # type: ignore[override]
        """Of the text behind it."""
        return self.inner.summary

    def open(self, family: NeedleFamily, needles: NeedleSet, *parts: str | int) -> HaystackText:
        """See `Haystack.open`."""
        source = self.inner.open(family, needles, *parts)
        done = 0

        def grow(n_chars: int, missing: int) -> tuple[list[str], list[int]]:
            nonlocal done
            pieces: list[str] = []
            starts: list[int] = []
            position = n_chars
            while position < n_chars + missing:
                after = source.start_after(done)
                sentence = " ".join(source.text[done:after].split())
                done = after
                if sentence:
                    pieces += (sentence, " ")
                    starts.append(position)
                    position += len(sentence) + 1
            return pieces, starts

        return HaystackText(grow, " ")

    def filler(self, following: str) -> str:
        """See `Haystack.filler`."""
        return " ".join(self.inner.filler(following).split())

    def mentions(self, text: str) -> bool:
        """See `Haystack.mentions`."""
        return self.inner.mentions(text)

    def describe(self) -> dict[str, Any]:
        """See `Haystack.describe`."""
        return {**self.inner.describe(), "white_space": "one line"}
