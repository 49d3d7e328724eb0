"""LongBench v1 and LongBench-E: settings in, samples out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hisa_tasks.longbench.catalog import CATEGORIES, any_dataset, bucket, expand, is_extended, official_rows
from hisa_tasks.longbench.files import Loaded, load
from hisa_tasks.longbench.fitting import Fit
from hisa_tasks.longbench.prompt import build_prompt, cut_middle, template, template_hash
from hisa_tasks.longbench.rows import Row
from hisa_tasks.longbench.subsample import subsample
from hisa_tasks.metrics.code_similarity import VARIANTS
from hisa_tasks.sample import Sample, Tokenizer

NAME = "longbench"
VERSION = 1
"""Raised with every change that gives another prompt for the same settings."""


@dataclass(frozen=True)
class LongBenchTask:
    """Settings of the task; the data are read and checked at once.

    Args:
        datasets: Names, categories, `"all"` (21 data sets) or `"e"` (LongBench-E); see `catalog.expand`.
        data: A folder, zip archive or file of official rows; None for the hub's archive.
        samples: Rows of each data set, chosen by hash; None for all.
        seed: Of that choice.
        truncate: `"error"` or `"middle"`, for prompts that are too long.
        max_prompt_tokens: Most tokens of a prompt before any chat template; None for no limit.
        partial: Take files that have not the official number of rows.
        code_similarity: Variant of the metric of code completion.

    Raises:
        ValueError: A name is unknown, a number out of range, or data missing, damaged or not whole.
    """

    suite: ClassVar[str] = NAME
    version: ClassVar[int] = VERSION

    datasets: tuple[str, ...] = ("all",)
    data: str | None = None
    samples: int | None = None
    seed: int = 0
    truncate: str = "error"
    max_prompt_tokens: int | None = None
    partial: bool = False
    code_similarity: str = VARIANTS[0]
    fit: Fit = field(init=False, repr=False, compare=False)
    loaded: Mapping[str, Loaded] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = self._named()
        if not names:
            raise ValueError("no data set is named – name some, or all")
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"samples is {self.samples} – take 1 or more of each data set")
        if self.code_similarity not in VARIANTS:
            raise ValueError(
                f"unknown code similarity {self.code_similarity!r} – known: {', '.join(VARIANTS)}"
            )
        object.__setattr__(self, "fit", Fit(self.truncate, self.max_prompt_tokens))
        object.__setattr__(self, "loaded", self._load(names))

    def _named(self) -> tuple[str, ...]:
        return expand(self.datasets)

    def _load(self, names: tuple[str, ...]) -> Mapping[str, Loaded]:
        return load(names, self.data, partial=self.partial)

    @property
    def names(self) -> tuple[str, ...]:
        """Data sets asked for."""
        return tuple(self.loaded)

    def rows(self, name: str) -> tuple[Row, ...]:
        """Rows of a data set that are asked, in the file's order."""
        return subsample(self.loaded[name].rows, self.samples, key=lambda row: row.id, seed=self.seed)

    def sample(self, name: str, row: Row, tokenizer: Tokenizer) -> Sample:
        """One sample: the official prompt of a row.

        Rows with the same context form a group. `meta` says whether a chat model gets the prompt inside its
        template (`chat_template`) and what was cut (`n_cut` tokens of `n_whole_prompt_tokens`).

        Args:
            name: Of the data set.
            row: One of its rows.
            tokenizer: Of the model that is tested.

        Raises:
            PromptTooLongError: The prompt does not fit and may not be cut.
        """
        dataset = any_dataset(name)
        sample_id = f"{self.suite}/{name}/{row.id}"
        cut = self.fit.apply(sample_id, build_prompt(name, row.input, row.context), tokenizer, cut_middle)
        context = hashlib.sha256(row.context.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        meta: dict[str, Any] = {
            "dataset": name,
            "category": dataset.category,
            "language": dataset.language,
            "metric": dataset.metric,
            "row": row.id,
            "words": row.length,
            "context": context,
            "chat_template": dataset.chat_template,
            "n_whole_prompt_tokens": cut.n_before,
            "n_cut": cut.n_before - cut.n_after,
        }
        if row.all_classes:
            meta["all_classes"] = list(row.all_classes)
        if dataset.metric == "code-similarity":
            meta["code_similarity"] = self.code_similarity
        if is_extended(name):
            meta["bucket"] = bucket(row.length)
        return Sample(
            id=sample_id,
            task=self.suite,
            prompt=cut.text,
            references=row.answers,
            max_new_tokens=dataset.max_new_tokens,
            length=cut.n_after + dataset.max_new_tokens,
            n_prompt_tokens=cut.n_after,
            group=f"{self.suite}/{name}/{context}",
            stop=("\n",) if dataset.stop_at_newline else (),
            meta=meta,
        )

    def iterate(self, tokenizer: Tokenizer) -> Iterator[Sample]:
        """Every sample, data set by data set.

        Raises:
            PromptTooLongError: A prompt does not fit and may not be cut.
        """
        for name in self.names:
            for row in self.rows(name):
                yield self.sample(name, row, tokenizer)

    def describe(self) -> dict[str, Any]:
        """All that decides prompts and scores; JSON types only."""
        return {
            "task": self.suite,
            "version": self.version,
            "samples": self.samples,
            "seed": self.seed,
            "truncate": self.truncate,
            "max_prompt_tokens": self.max_prompt_tokens,
            "code_similarity": self.code_similarity,
            "datasets": {
                name: {
                    "category": CATEGORIES[any_dataset(name).category].title,
                    "metric": any_dataset(name).metric,
                    "template_sha256": template_hash(template(name)),
                    "file": one.where,
                    "file_sha256": one.sha256,
                    "rows": len(one.rows),
                    "official_rows": official_rows(name),
                    "asked": len(self.rows(name)),
                }
                for name, one in self.loaded.items()
            },
        }

    def data_hash(self) -> str:
        """SHA-256 over every byte that decides a prompt: files, templates and the choice of rows."""
        facts = [
            [name, one.sha256, template(name), [row.id for row in self.rows(name)]]
            for name, one in self.loaded.items()
        ]
        text = json.dumps([self.version, self.truncate, self.max_prompt_tokens, facts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
