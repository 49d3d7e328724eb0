"""RULER's eight retrieval tasks, built by the needle package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.haystacks.base import Haystack
from hisa_tasks.niah.haystacks.catalog import find_haystack
from hisa_tasks.niah.needles.base import NeedleFamily, NeedleSet
from hisa_tasks.niah.needles.words import word_list
from hisa_tasks.niah.prompt import build_prompt
from hisa_tasks.ruler.base import Built, Count, Place, Recipe
from hisa_tasks.ruler.essay import Essay

GRID = tuple(round(step * 100 / 39) for step in range(40))
"""Depths in essays, in percent: RULER's forty."""


@dataclass(frozen=True)
class Retrieval(Recipe):
    """Needles in a haystack at random depths.

    In essays the depths are distinct ones of RULER's forty; between lines of noise or of other needles they
    are any. Differences from the official generator: the essay is this project's prose, or the text of a
    folder; keys and words come from this project's lists; no key or value contains another one; the
    haystack's last sentence is cut and ended so that the length is exact.

    Args:
        family: The needles.
        haystack: `"essay"`, `"noise"` or `"needles"`.
        essay: Where essays come from: a haystack's name, or a folder of text files.

    Raises:
        ValueError: Essays cannot be found.
    """

    family: NeedleFamily
    haystack: str
    essay: str = "prose"
    source: Haystack = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = find_haystack(self.essay if self.haystack == "essay" else self.haystack)
        object.__setattr__(self, "source", Essay(found) if self.haystack == "essay" else found)

    def build(self, place: Place, budget: int, count: Count) -> Built:
        """See `Recipe.build`."""
        source = self.source
        n_distractors = self.family.default_distractors
        needles = self._needles(source, place)
        text = source.open(self.family, needles, "ruler", place.task, place.seed, place.length, place.index)
        target, *others = self._depths(place.draws("depths"), len(needles.queried) + n_distractors)
        prompt = build_prompt(source, text, needles, target, others, budget, count)
        return Built(
            prompt.text,
            needles.references,
            prompt.value_spans,
            {
                "needle": self.family.name,
                "haystack": source.name,
                "depth_actual": round(prompt.depth, 4),
                "keys": list(dict.fromkeys(needle.key for needle in needles.queried)),
                "needle_spans": [list(span) for span in prompt.needle_spans],
                "n_distractors": n_distractors,
            },
        )

    def describe(self) -> dict[str, Any]:
        """See `Recipe.describe`."""
        words = "\n".join((*word_list("adjectives"), "", *word_list("nouns")))
        return {
            "needle": self.family.describe(),
            "haystack": self.source.describe(),
            "words_sha256": hashlib.sha256(words.encode("utf-8")).hexdigest(),
        }

    def _needles(self, source: Haystack, place: Place) -> NeedleSet:
        """Needles whose keys and values do not stand in the haystack by chance."""
        for attempt in range(20):
            needles = self.family.draw(place.draws(f"needles {attempt}"), self.family.default_distractors)
            if not any(source.mentions(text) for one in needles.queried for text in (one.key, one.value)):
                break
        return needles

    def _depths(self, draws: Draws, n_needles: int) -> list[float]:
        if self.haystack == "essay":
            grid = list(GRID)
            draws.shuffle(grid)
            return [float(depth) for depth in grid[:n_needles]]
        return [100 * draws.random() for _ in range(n_needles)]
