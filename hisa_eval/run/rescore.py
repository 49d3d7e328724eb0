"""The answers of a finished run scored again, from its store alone; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from hisa_eval.errors import UserError
from hisa_eval.run.scores import percent
from hisa_eval.run.store import RunStore
from hisa_eval.stats.interval import mean_interval
from hisa_tasks import registry
from hisa_tasks.sample import Sample

TOLERANCE = 1e-9
"""Scores that differ by more have changed."""


@dataclass(frozen=True)
class Rescored:
    """One answer: its score now and the one in the store; `cut` where it ended at the generation limit."""

    sample_id: str
    task: str
    indexer: str
    score: float
    stored: float
    cut: bool = False

    @property
    def changed(self) -> bool:
        """Whether the two differ."""
        return abs(self.score - self.stored) > TOLERANCE


@dataclass(frozen=True)
class RescoredRun:
    """A run scored again.

    Attributes:
        rows: Every answer of the store.
        n_failed: Samples without an answer, by indexer.
    """

    rows: tuple[Rescored, ...]
    n_failed: Mapping[str, int]

    def lines(self) -> list[dict[str, Any]]:
        """One object an answer, then the totals."""
        rows = [
            {
                "id": row.sample_id,
                "task": row.task,
                "indexer": row.indexer,
                "score": row.score,
                "stored": row.stored,
            }
            for row in self.rows
        ]
        return [*rows, self.totals()]

    def totals(self) -> dict[str, Any]:
        """Scores by indexer in per cent; JSON types only."""
        indexers = dict.fromkeys((*(row.indexer for row in self.rows), *self.n_failed))
        found: dict[str, Any] = {}
        for name in indexers:
            mine = [row for row in self.rows if row.indexer == name]
            interval = mean_interval([row.score for row in mine])
            found[name] = {
                "score": percent(interval.mean) if mine else None,
                "low": percent(interval.low) if mine else None,
                "high": percent(interval.high) if mine else None,
                "stored": percent(fmean(row.stored for row in mine)) if mine else None,
                "n": len(mine),
                "n_failed": self.n_failed.get(name, 0),
                "n_cut": sum(row.cut for row in mine),
                "n_changed": sum(row.changed for row in mine),
            }
        return {"n": len(self.rows), "n_changed": sum(row.changed for row in self.rows), "indexers": found}


def rescore_run(path: Path) -> RescoredRun:
    """Score every answer of a run again with the task that asked.

    Args:
        path: The run's folder.

    Raises:
        UserError: the folder is no run, or an answer cannot be scored.
    """
    store = RunStore.read(path)
    rows: list[Rescored] = []
    n_failed: dict[str, int] = {}
    for record in store.records():
        indexer = record["indexer"]
        if record.get("status") != "ok":
            n_failed[indexer] = n_failed.get(indexer, 0) + 1
            continue
        try:
            sample = _sample(record, store.manifest.get("settings", {}))
            score = registry.score(sample, record["prediction"])
        except (KeyError, ValueError) as error:
            what, dash, fix = str(error).partition(" – ")
            raise UserError(
                f"{path}: {record['sample_id']} cannot be scored ({what})",
                fix if dash else "use the version of hisa-eval that made the run",
            ) from error
        cut = record.get("finish_reason") == "length"
        stored = float(record["score"])
        rows.append(Rescored(record["sample_id"], record["task"], indexer, score, stored, cut))
    return RescoredRun(tuple(rows), n_failed)


def _sample(record: Mapping[str, Any], settings: Mapping[str, Any]) -> Sample:
    """What scoring needs of the sample that was asked; its prompt is not in the store."""
    meta = dict(record.get("details") or {})
    suite, _, part = record["task"].partition("/")
    if suite == "ruler":
        meta["ruler"] = part
    if suite == "niah" and "metric" not in meta:
        from hisa_tasks.niah.needles.catalog import find_needle

        meta["metric"] = find_needle(settings.get("needle", record["needle"])).metric
    return Sample(
        id=record["sample_id"],
        task=suite,
        prompt="",
        references=tuple(record["references"]),
        max_new_tokens=record["max_new_tokens"],
        length=record["length"],
        n_prompt_tokens=record["n_prompt_tokens"],
        meta=meta,
    )
