"""RULER's noise: the same five short sentences on every line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hisa_tasks.niah.haystacks.base import Haystack, HaystackText
from hisa_tasks.niah.needles.base import NeedleFamily, NeedleSet

NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."


@dataclass(frozen=True)
class Noise(Haystack):
    """Lines of noise; needles go between lines.

    Source: NVIDIA/RULER, scripts/data/synthetic/niah.py (haystack type `noise`).
    """

    name: str = "noise"
    summary: str = "RULER's noise sentences, repeated (with single-number: niah_single_1)"
    line: str = NOISE

    def open(self, family: NeedleFamily, needles: NeedleSet, *parts: str | int) -> HaystackText:
        """See `Haystack.open`."""
        line = self.line + "\n"

        def grow(n_chars: int, missing: int) -> tuple[list[str], list[int]]:
            count = -(-missing // len(line))
            return [line] * count, [n_chars + i * len(line) for i in range(count)]

        return HaystackText(grow, "\n")

    def filler(self, following: str) -> str:
        """See `Haystack.filler`."""
        return following.replace("\n", " ")

    def mentions(self, text: str) -> bool:
        """See `Haystack.mentions`."""
        return text in self.line

    def describe(self) -> dict[str, Any]:
        """See `Haystack.describe`."""
        return {"name": self.name, "line": self.line}
