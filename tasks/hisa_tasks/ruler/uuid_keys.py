"""Needles whose keys are UUIDs, as in RULER's niah_multikey_3."""

from __future__ import annotations

from dataclasses import dataclass

from hisa_tasks.draws import Draws
from hisa_tasks.niah.needles.base import Needle, NeedleSet
from hisa_tasks.niah.needles.ruler import (
    ANSWER_PREFIX,
    INTRO,
    QUESTION,
    RulerNeedles,
    needle_sentence,
    singular,
)
from hisa_tasks.niah.needles.words import draw_new


@dataclass(frozen=True)
class UuidKeyNeedles(RulerNeedles):
    """One UUID asked for by another UUID.

    Source: NVIDIA/RULER, scripts/synthetic.yaml (`niah_multikey_3`).
    """

    name: str = "uuid-by-uuid"
    summary: str = "one UUID with another UUID as its key (RULER niah_multikey_3)"
    value_kind: str = "uuids"

    def draw(self, draws: Draws, n_distractors: int) -> NeedleSet:
        """A sample's needle and question; see `NeedleFamily.draw`."""
        taken: list[str] = []
        needle = self._needle(draws, taken)
        distractors = tuple(self._needle(draws, taken) for _ in range(n_distractors))
        intro, question, prefix = (
            singular(part).format(kind="uuid", query=needle.key) for part in (INTRO, QUESTION, ANSWER_PREFIX)
        )
        return NeedleSet(intro, question, prefix, (needle,), 0, distractors, (needle.value,))

    def stray(self, draws: Draws, needles: NeedleSet) -> str:
        """One more distractor sentence; see `NeedleFamily.stray`."""
        return self._needle(
            draws, [text for one in needles.queried for text in (one.key, one.value)]
        ).sentence

    def _needle(self, draws: Draws, taken: list[str]) -> Needle:
        return needle_sentence("uuids", draw_new("uuids", draws, taken), draw_new("uuids", draws, taken))
