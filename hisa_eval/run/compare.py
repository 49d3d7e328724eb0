"""Two indexers compared on the same prompts, from run stores alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hisa_eval.config.grammar import format_length
from hisa_eval.errors import UserError
from hisa_eval.run.store import RunStore
from hisa_eval.stats.comparison import Comparison, compare, join

MARK = "@"
"""Stands between a run's folder and the label of one of its indexers."""


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        name: As shown: folder and indexer.
        records: Scored records by sample id.
        n_failed: Samples of it that have no score.
        n_cut: Scored answers that ended at the generation limit.
    """

    name: str
    records: Mapping[str, Mapping[str, Any]]
    n_failed: int
    n_cut: int


@dataclass(frozen=True)
class RunComparison:
    """What came out.

    Attributes:
        a: The baseline.
        b: The other.
        comparison: Differences by task, or by length where there is one task, and overall.
        only_a: Samples that only the baseline has a score for.
        only_b: Samples that only the other has a score for.
    """

    a: Side
    b: Side
    comparison: Comparison
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def read_side(spec: str) -> Side:
    """Read one side.

    Args:
        spec: `DIR@LABEL`, or `DIR` of a run with one indexer.

    Raises:
        UserError: no such run or indexer, or no indexer is named where there are several.
    """
    folder, mark, label = spec.rpartition(MARK)
    if not mark:
        folder, label = spec, ""
    records = RunStore.read(Path(folder)).records()
    labels = sorted({str(record["indexer"]) for record in records})
    if not label and len(labels) == 1:
        label = labels[0]
    if label not in labels:
        what = f"{folder} has no indexer {label!r}" if label else f"{folder} has several indexers"
        raise UserError(what, f"name one of them: {', '.join(f'{folder}{MARK}{one}' for one in labels)}")
    own = [record for record in records if record["indexer"] == label]
    scored = {str(record["sample_id"]): record for record in own if record["status"] == "ok"}
    n_cut = sum(record.get("finish_reason") == "length" for record in scored.values())
    return Side(f"{folder}{MARK}{label}", scored, len(own) - len(scored), n_cut)


def compare_runs(baseline: str, other: str, *, seed: int = 0) -> RunComparison:
    """Compare two indexers, of one run or of two.

    Samples that share their context (the depths of a needle sample, questions on one text) count as one
    cluster in intervals and tests.

    Args:
        baseline: See `read_side`.
        other: See `read_side`.
        seed: Of resamples and sign patterns.

    Raises:
        UserError: as `read_side`; a shared sample was asked with another prompt; no sample is in both.
    """
    a, b = read_side(baseline), read_side(other)
    shared = [a.records[name] for name in sorted(a.records.keys() & b.records.keys())]
    shared.sort(key=lambda record: (str(record["task"]), int(record["length"])))
    for record in shared:
        name = record["sample_id"]
        if b.records[name]["prompt_sha256"] != record["prompt_sha256"]:
            raise UserError(
                f"sample {name} was asked with another prompt in {b.name}",
                "compare runs of the same task settings",
            )
    single = len({record["task"] for record in shared}) == 1
    joined = join(
        {name: float(record["score"]) for name, record in a.records.items()},
        {name: float(record["score"]) for name, record in b.records.items()},
        {str(record["sample_id"]): _group(record, single=single) for record in shared},
        {str(record["sample_id"]): _context(record) for record in shared},
    )
    if not joined.pairs:
        raise UserError(f"{a.name} and {b.name} share no scored sample", "compare runs of the same task")
    found = compare(joined.pairs, seed=seed)
    order = list(dict.fromkeys(_group(record, single=single) for record in shared))
    tasks = tuple(sorted(found.tasks, key=lambda row: order.index(row.task)))
    return RunComparison(a, b, found._replace(tasks=tasks), joined.only_a, joined.only_b)


def _group(record: Mapping[str, Any], *, single: bool) -> str:
    task = str(record["task"])
    return f"{task} {format_length(int(record['length']))}" if single and "/" not in task else task


def _context(record: Mapping[str, Any]) -> str:
    context = (record.get("details") or {}).get("context")
    if context is not None:
        return f"{record['task']}/{context}"
    if record.get("depth") is not None:
        # A needle sample's depths share keys, values and haystack.
        return f"{record['task']}/{record['length']}/s{record['sample']}"
    return str(record["sample_id"])
