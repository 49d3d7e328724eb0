"""A haystack of needles: every line is a distractor of the needle's own form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.haystacks.base import Haystack, HaystackText
from hisa_tasks.niah.haystacks.noise import NOISE
from hisa_tasks.niah.needles.base import NeedleFamily, NeedleSet


@dataclass(frozen=True)
class Needles(Haystack):
    """Lines of needles with other keys; the last, cut line is noise, so no half needle stands there.

    Source: NVIDIA/RULER, scripts/data/synthetic/niah.py (haystack type `needle`).
    """

    name: str = "needles"
    summary: str = "nothing but distractor needles (RULER niah_multikey_2)"

    def open(self, family: NeedleFamily, needles: NeedleSet, *parts: str | int) -> HaystackText:
        """See `Haystack.open`."""
        draws = Draws("needles", *parts)

        def grow(n_chars: int, missing: int) -> tuple[list[str], list[int]]:
            lines: list[str] = []
            starts: list[int] = []
            position = n_chars
            while position < n_chars + missing:
                line = family.stray(draws, needles) + "\n"
                lines.append(line)
                starts.append(position)
                position += len(line)
            return lines, starts

        return HaystackText(grow, "\n")

    def filler(self, following: str) -> str:
        """See `Haystack.filler`."""
        return " ".join([NOISE] * (len(following) // len(NOISE) + 1))

    def mentions(self, text: str) -> bool:
        """Never: its needles avoid the keys and values asked for."""
        return False

    def describe(self) -> dict[str, Any]:
        """See `Haystack.describe`."""
        return {"name": self.name, "filler": NOISE}
