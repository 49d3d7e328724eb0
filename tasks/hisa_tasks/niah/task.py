"""The needle-in-a-haystack task: settings in, samples out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.fit import Count
from hisa_tasks.niah.haystacks.base import Haystack, HaystackText
from hisa_tasks.niah.haystacks.catalog import find_haystack
from hisa_tasks.niah.needles.base import NeedleFamily, NeedleSet
from hisa_tasks.niah.needles.catalog import find_needle
from hisa_tasks.niah.needles.words import word_list
from hisa_tasks.niah.prompt import Cut, Prompt, TooShortError, build_prompt, find_cut
from hisa_tasks.sample import Sample, Tokenizer

NAME = "niah"
VERSION = 1
"""Raised with every change that gives another prompt for the same settings."""


@dataclass(frozen=True)
class NiahTask:
    """Settings of the task; with a length, a depth, an index and a tokenizer they decide a sample.

    Args:
        needle: Name of a needle family, or the path of a YAML file that defines one.
        haystack: Name of a haystack, or the path of a folder of UTF-8 text files.
        seed: Of keys, values, haystack text and distractor places.
        max_new_tokens: Room for the answer, in tokens.
        n_distractors: Needles with other keys that the question does not ask for; None for the family's own
            number.

    Raises:
        ValueError: A name is unknown, a file cannot be used, or a number is out of range.
    """

    needle: str = "single-number"
    haystack: str = "prose"
    seed: int = 0
    max_new_tokens: int = 128
    n_distractors: int | None = None
    family: NeedleFamily = field(init=False, repr=False, compare=False)
    source: Haystack = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(
                f"max_new_tokens is {self.max_new_tokens} – leave at least 1 token for the answer"
            )
        if self.n_distractors is not None and self.n_distractors < 0:
            raise ValueError(f"n_distractors is {self.n_distractors} – use 0 or more")
        object.__setattr__(self, "family", find_needle(self.needle))
        object.__setattr__(self, "source", find_haystack(self.haystack))
        self.family.draw(Draws("check"), self.distractors)

    @property
    def distractors(self) -> int:
        """Distractor needles in each prompt."""
        return self.family.default_distractors if self.n_distractors is None else self.n_distractors

    def sample(self, length: int, depth: float, index: int, tokenizer: Tokenizer) -> Sample:
        """One sample: a prompt of exactly `length - max_new_tokens` tokens with its target needle at `depth`.

        Samples that differ in depth alone hide the same needles in the same text, and form a group.

        Args:
            length: Context length in tokens, prompt and answer room together.
            depth: Of the target needle, 0 (before the first sentence) to 100 (after the last), in percent of
                the haystack's characters; it goes to the nearest sentence boundary. Other queried needles and
                distractors stand at random depths that the seed decides.
            index: Of the sample, from 0.
            tokenizer: Of the model that is tested.

        Returns:
            The sample; `meta["depth_actual"]` holds the depth reached.

        Raises:
            ValueError: The length is too short (with the least that works), or an argument is out of range.
        """
        if not (math.isfinite(depth) and 0 <= depth <= 100):
            raise ValueError(f"depth {depth} is outside 0 to 100 – give it in percent of the haystack")
        if index < 0:
            raise ValueError(f"sample index {index} is negative – count from 0")
        try:
            needles, prompt = self._build(length, depth, index, tokenizer)
        except TooShortError as error:
            raise ValueError(
                f"length {length} is too short for needle {self.family.name!r} with its question and "
                f"{self.max_new_tokens} tokens of answer – use at least "
                f"{self._least(length + error.missing, depth, index, tokenizer)}"
            ) from None
        group = f"{NAME}/{self.family.name}/{self.source.name}/{length}/s{index}"
        head, _, tail = group.rpartition("/")
        return Sample(
            id=f"{head}/d{depth:.10g}/{tail}",
            task=NAME,
            prompt=prompt.text,
            references=needles.references,
            max_new_tokens=self.max_new_tokens,
            length=length,
            n_prompt_tokens=length - self.max_new_tokens,
            evidence=prompt.value_spans,
            group=group,
            meta={
                "depth": depth,
                "depth_actual": round(prompt.depth, 4),
                "needle": self.family.name,
                "haystack": self.source.name,
                "sample": index,
                "keys": [key for key in dict.fromkeys(needle.key for needle in needles.queried) if key],
                "needle_spans": [list(span) for span in prompt.needle_spans],
                "n_distractors": self.distractors,
                "seed": self.seed,
                "metric": self.family.metric,
            },
        )

    def _build(self, length: int, depth: float, index: int, tokenizer: Tokenizer) -> tuple[NeedleSet, Prompt]:
        shared = (self.family, self.source, self.distractors, self.seed, length, index)
        budget = length - self.max_new_tokens
        needles, text, other_depths = _scene(*shared)
        cut = _cut(*shared, budget, tokenizer)  # type: ignore[arg-type]  # hashed by identity
        count = _counter(tokenizer)
        return needles, build_prompt(self.source, text, needles, depth, other_depths, budget, count, cut)

    def _least(self, length: int, depth: float, index: int, tokenizer: Tokenizer) -> int:
        """A length that works, from one that should: another length has other keys, so look again."""
        while True:
            try:
                self._build(length, depth, index, tokenizer)
                return length
            except TooShortError as error:
                length += error.missing

    def describe(self) -> Mapping[str, Any]:
        """Everything that decides the prompts, for manifests; JSON types only."""
        return {
            "task": NAME,
            "version": VERSION,
            "seed": self.seed,
            "max_new_tokens": self.max_new_tokens,
            "n_distractors": self.distractors,
            "needle": self.family.describe(),
            "haystack": self.source.describe(),
            "data_hash": self.data_hash(),
        }

    def data_hash(self) -> str:
        """SHA-256 of all data behind the prompts: templates, words, grammar or files, and `VERSION`."""
        words = {name: word_list(name) for name in ("adjectives", "nouns")}
        data = [VERSION, self.family.describe(), self.source.describe(), words]
        return hashlib.sha256(
            json.dumps(data, sort_keys=True, ensure_ascii=False).encode("utf-8")
        ).hexdigest()


@lru_cache(maxsize=4)
def _scene(
    family: NeedleFamily, haystack: Haystack, n_distractors: int, seed: int, length: int, index: int
) -> tuple[NeedleSet, HaystackText, tuple[float, ...]]:
    """What all depths of a sample share: its needles, its text, the depths of all needles but the target."""
    parts = (seed, family.name, haystack.name, length, index)
    for attempt in range(20):
        needles = family.draw(Draws("needles of", *parts, attempt), n_distractors)
        if not any(haystack.mentions(t) for n in needles.queried for t in (n.key, n.value) if t):
            break
    draws = Draws("depths of", *parts)
    others = len(needles.queried) - 1 + n_distractors
    depths = tuple(100 * draws.random() for _ in range(others))
    return needles, haystack.open(family, needles, *parts), depths


@lru_cache(maxsize=4)
def _cut(
    family: NeedleFamily,
    haystack: Haystack,
    n_distractors: int,
    seed: int,
    length: int,
    index: int,
    budget: int,
    tokenizer: Tokenizer,
) -> Cut:
    """Where the haystack of a sample ends: the costly part of building it, and no matter of the depth."""
    needles, text, other_depths = _scene(family, haystack, n_distractors, seed, length, index)
    return find_cut(text, needles, other_depths, budget, _counter(tokenizer))


def _counter(tokenizer: Tokenizer) -> Count:
    return lambda part: len(tokenizer.encode(part))
