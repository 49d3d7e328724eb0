"""Needles of any wording: a sentence template, a question, and where keys and values come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.needles.base import Needle, NeedleFamily, NeedleSet
from hisa_tasks.niah.needles.ruler import FAMILIES as RULER_FAMILIES
from hisa_tasks.niah.needles.words import draw_new

Source = str | tuple[str, ...]
"""A kind (`"numbers"`, `"words"`, `"uuids"`) to draw from, or the texts to choose from."""


@dataclass(frozen=True)
class FreeNeedles(NeedleFamily):
    """One queried needle with a wording of its own, and as many distractors of that wording as asked for.

    Args:
        name: As on the command line and in sample ids.
        summary: One line for lists.
        sentence: The needle, with `{value}` once and `{key}` where it has keys.
        question: With `{key}` where it has keys.
        answer_prefix: The start of the answer, `{key}` allowed; begins with a space unless empty.
        intro: A line before the context; may be empty.
        keys: Where keys come from; empty where the sentence has none.
        values: Where values come from.
        metric: `"string-match-all"` or `"key-facts"`.
        facts: What an answer has to contain; empty for the value itself.
        default_distractors: Needles with other keys, unless the run says otherwise.
    """

    name: str
    summary: str
    sentence: str
    question: str
    answer_prefix: str = ""
    intro: str = ""
    keys: Source = ()
    values: Source = "numbers"
    metric: str = "string-match-all"
    facts: tuple[str, ...] = ()
    default_distractors: int = 0

    def draw(self, draws: Draws, n_distractors: int) -> NeedleSet:
        """A sample's needles and question; see `NeedleFamily.draw`."""
        if n_distractors and not self.keys:
            raise ValueError(
                f"needle {self.name!r} has no key, so distractors could not be told from it – "
                "ask for 0 distractors, or put {key} into its sentence and question"
            )
        taken_keys: list[str] = []
        taken_values: list[str] = []
        drawn = tuple(self._needle(draws, taken_keys, taken_values) for _ in range(1 + n_distractors))
        asked = drawn[0]
        return NeedleSet(
            intro=f"{self.intro}\n" if self.intro else "",
            question="\n\n" + self.question.replace("{key}", asked.key),
            answer_prefix=self.answer_prefix.replace("{key}", asked.key),
            queried=(asked,),
            target=0,
            distractors=drawn[1:],
            references=self.facts or (asked.value,),
        )

    def stray(self, draws: Draws, needles: NeedleSet) -> str:
        """A needle of its own wording where keys are drawn, else one of RULER's; see `NeedleFamily.stray`."""
        if not isinstance(self.keys, str):
            return RULER_FAMILIES[0].stray(draws, needles)
        asked = needles.queried[0]
        return self._needle(draws, [asked.key], [asked.value]).sentence

    def describe(self) -> dict[str, Any]:
        """Its settings and templates."""
        facts = {name: value for name, value in asdict(self).items() if name != "summary"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}

    def _needle(self, draws: Draws, taken_keys: list[str], taken_values: list[str]) -> Needle:
        key = self._pick("keys", self.keys, draws, taken_keys) if self.keys else ""
        value = self._pick("values", self.values, draws, taken_values)
        before, after = (part.replace("{key}", key) for part in self.sentence.split("{value}"))
        return Needle(before + value + after, key, value, (len(before), len(before) + len(value)))

    def _pick(self, what: str, source: Source, draws: Draws, taken: list[str]) -> str:
        """A key or value that is neither part of a taken one nor contains one; it is then taken too."""
        if isinstance(source, str):
            return draw_new(source, draws, taken)
        free: Sequence[str] = [text for text in source if not any(text in t or t in text for t in taken)]
        if not free:
            raise ValueError(
                f"needle {self.name!r} has too few {what}: {len(source)} for {len(taken) + 1} needles – "
                f"list more {what}, or ask for fewer distractors"
            )
        taken.append(draws.choice(free))
        return taken[-1]
