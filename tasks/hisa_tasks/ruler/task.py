"""RULER's tasks with their settings: samples out, as the needle task gives them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hisa_tasks.niah.prompt import TooShortError
from hisa_tasks.ruler.base import Built, Place, Recipe
from hisa_tasks.ruler.catalog import RulerInfo, find_task
from hisa_tasks.ruler.texts import data_sha256
from hisa_tasks.sample import Sample, Tokenizer

NAME = "ruler"
VERSION = 1
"""Raised with every change that gives another prompt for the same settings."""


@dataclass(frozen=True)
class RulerTask:
    """Settings of one of RULER's tasks; with a length, an index and a tokenizer they decide a sample.

    Args:
        name: RULER's name of the task, e.g. `"vt"`.
        seed: Of all random draws.
        max_new_tokens: Room for the answer, in tokens; None for RULER's own, and then replaced by it.
        haystack: Where the running text of retrieval tasks comes from: the name of a haystack, or the path of
            a folder of UTF-8 text files (RULER takes Paul Graham's essays, which may not be shipped).
        data: For `qa_1` and `qa_2`, the path of their file of questions, or of the folder that holds it.

    Raises:
        ValueError: The task is unknown, a file is missing or cannot be used, or a number is out of range.
    """

    name: str
    seed: int = 0
    max_new_tokens: int | None = None
    haystack: str = "prose"
    data: str | None = None
    info: RulerInfo = field(init=False, repr=False, compare=False)
    recipe: Recipe = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        info = find_task(self.name)
        if self.max_new_tokens is None:
            object.__setattr__(self, "max_new_tokens", info.max_new_tokens)
        if self.room < 1:
            raise ValueError(f"max_new_tokens is {self.room} – leave at least 1 token for the answer")
        object.__setattr__(self, "info", info)
        object.__setattr__(self, "recipe", info.make(self.haystack, self.data))

    @property
    def room(self) -> int:
        """Room for the answer, in tokens."""
        return int(self.max_new_tokens or 0)

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.info.metric

    def sample(self, length: int, depth: float, index: int, tokenizer: Tokenizer) -> Sample:
        """One sample: a prompt of exactly `length - max_new_tokens` tokens.

        Args:
            length: Context length in tokens, prompt and answer room together.
            depth: Not used, RULER draws its places; here so that tasks of all suites are asked alike.
            index: Of the sample, from 0.
            tokenizer: Of the model that is tested.

        Returns:
            The sample; `meta["ruler"]` is the task's name.

        Raises:
            ValueError: The length is too short (with one that works), or an argument is out of range.
        """
        if index < 0:
            raise ValueError(f"sample index {index} is negative – count from 0")
        try:
            built = self._build(length, index, tokenizer)
        except TooShortError as error:
            raise ValueError(
                f"length {length} is too short for RULER task {self.name!r} with {self.room} tokens of "
                f"answer – use at least {self._least(length + error.missing, index, tokenizer)}"
            ) from None
        sample_id = f"{NAME}/{self.name}/{length}/s{index}"
        return Sample(
            id=sample_id,
            task=NAME,
            prompt=built.text,
            references=built.references,
            max_new_tokens=self.room,
            length=length,
            n_prompt_tokens=length - self.room,
            evidence=built.evidence,
            group=sample_id,
            meta={
                "ruler": self.name,
                "category": self.info.category,
                "metric": self.metric,
                "sample": index,
                "seed": self.seed,
                **built.meta,
            },
        )

    def _build(self, length: int, index: int, tokenizer: Tokenizer) -> Built:
        def count(text: str) -> int:
            return len(tokenizer.encode(text))

        return self.recipe.build(Place(self.name, self.seed, length, index), length - self.room, count)

    def _least(self, length: int, index: int, tokenizer: Tokenizer) -> int:
        """A length that works, from one that should: another length has other draws, so look again."""
        while True:
            try:
                self._build(length, index, tokenizer)
                return length
            except TooShortError as error:
                length += error.missing

    def describe(self) -> Mapping[str, Any]:
        """Everything that decides the prompts, for manifests; JSON types only."""
        return {
            "task": NAME,
            "ruler": self.name,
            "version": VERSION,
            "seed": self.seed,
            "max_new_tokens": self.room,
            "metric": self.metric,
            "recipe": self.recipe.describe(),
            "data_hash": self.data_hash(),
        }

    def data_hash(self) -> str:
        """SHA-256 of all data behind the prompts: templates, words, essays or question file, `VERSION`."""
        data = [VERSION, self.name, self.recipe.describe(), data_sha256("templates.toml")]
        return hashlib.sha256(
            json.dumps(data, sort_keys=True, ensure_ascii=False).encode("utf-8")
        ).hexdigest()
