"""RULER's own numbers: the mean over tasks at each length, and its averages over lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from hisa_eval.report.accuracy import DIGITS
from hisa_eval.report.numbers import NOTHING, length_label
from hisa_eval.report.score_tables import methods_note, score_cell
from hisa_eval.report.study import Study
from hisa_eval.report.table import Cell, Table
from hisa_eval.report.weighted import Group, weighted_mean
from hisa_tasks.ruler.averages import over_lengths, over_tasks
from hisa_tasks.ruler.catalog import TASKS

SUITE = "ruler"
AVERAGES: dict[str, Literal["equal", "inc", "dec"]] = {
    "Avg": "equal",
    "wAvg (inc)": "inc",
    "wAvg (dec)": "dec",
}
"""RULER's averages over lengths: equal weights, growing and falling with the length."""

_COLUMNS = ("n", "n_failed", "n_tasks", "score", "ci_low", "ci_high", "ci_method")

Scores = Mapping[int, Mapping[str, Sequence[float]]]
"""Scores by length and task."""


def ruler_tasks(study: Study) -> list[str]:
    """RULER's tasks of a study, as in records, in RULER's order."""
    there = set(study.samples["task"].dropna())
    return [f"{SUITE}/{name}" for name in TASKS if f"{SUITE}/{name}" in there]


def averages_table(study: Study) -> Table:
    """Mean over tasks by length, and RULER's averages, of every indexer."""
    tasks = ruler_tasks(study)
    rows, data = [], []
    for label in study.labels:
        scores = _scores(study, label)
        found = {name: _average(scores, study.lengths, weights) for name, weights in AVERAGES.items()}
        found = {**{length_label(one): _at_length(scores.get(one, {})) for one in study.lengths}, **found}
        failed = _failed(study, label)
        for name, one in found.items():
            if one:
                one["n_failed"] = failed.get(name, sum(failed.values()))
        rows.append(
            [Cell(label), *(_cell(one, len(tasks)) if one else Cell(NOTHING, -1) for one in found.values())]
        )
        data += [{"indexer": label, "average": name, **one} for name, one in found.items() if one]
    left_out = [name for run in study.runs for name in run.manifest["settings"].get("left_out") or ()]
    notes = [
        f"Unweighted mean over {len(tasks)} of RULER's {len(TASKS)} tasks with its 95% interval; "
        "n counts samples.",
        "Avg, wAvg (inc) and wAvg (dec): mean over lengths with equal weights, and with weights that grow "
        "or fall in equal steps with the length.",
    ]
    if left_out:
        notes.append(f"Left out for lack of data: {', '.join(dict.fromkeys(left_out))}.")
    frame = pd.DataFrame(data, columns=["indexer", "average", *_COLUMNS])
    columns = ["indexer", *map(length_label, study.lengths), *AVERAGES]
    return Table("ruler", "RULER", columns, rows, frame, [*notes, methods_note(frame)])


def _scores(study: Study, label: str) -> Scores:
    own = study.samples[(study.samples["series"] == label) & (study.samples["status"] == "ok")]
    found: dict[int, dict[str, list[float]]] = {}
    for one in own.to_dict("records"):
        suite, _, task = str(one["task"]).partition("/")
        if suite == SUITE:
            found.setdefault(int(one["length"]), {}).setdefault(task, []).append(float(one["score"]))
    return found


def _failed(study: Study, label: str) -> dict[str, int]:
    """Failed samples by length, as labelled."""
    own = study.samples[(study.samples["series"] == label) & study.samples["length"].notna()]
    return {
        length_label(length): int(((own["length"] == length) & (own["status"] == "failed")).sum())
        for length in study.lengths
    }


def _at_length(scores: Mapping[str, Sequence[float]]) -> dict[str, Any] | None:
    """A length's mean over tasks; None where nothing was scored."""
    if not scores:
        return None
    return _row(_over_tasks(scores), [Group(1.0, own) for own in scores.values()], len(scores))


def _average(
    scores: Scores, lengths: Sequence[int], weights: Literal["equal", "inc", "dec"]
) -> dict[str, Any] | None:
    """One of RULER's averages; None unless every length has a score."""
    if not lengths or any(not scores.get(length) for length in lengths):
        return None
    means = {
        length: over_tasks({t: sum(own) / len(own) for t, own in scores[length].items()})
        for length in lengths
    }
    groups = []
    for length in lengths:
        share = over_lengths({one: float(one == length) for one in lengths}, weights)
        groups += [Group(share / len(scores[length]), own) for own in scores[length].values()]
    return _row(over_lengths(means, weights), groups, min(len(scores[length]) for length in lengths))


def _over_tasks(scores: Mapping[str, Sequence[float]]) -> float:
    return over_tasks({task: sum(own) / len(own) for task, own in scores.items()})


def _row(mean: float, groups: Sequence[Group], n_tasks: int) -> dict[str, Any]:
    interval = weighted_mean(groups)
    return {
        "n": sum(len(one.scores) for one in groups),
        "n_failed": 0,
        "n_tasks": n_tasks,
        "score": round(mean, DIGITS),
        "ci_low": round(interval.low, DIGITS),
        "ci_high": round(interval.high, DIGITS),
        "ci_method": interval.method,
    }


def _cell(row: Mapping[str, Any], n_tasks: int) -> Cell:
    cell = score_cell(row)
    missing = n_tasks - row["n_tasks"]
    return cell._replace(text=f"{cell.text}, {missing} tasks missing") if missing else cell
