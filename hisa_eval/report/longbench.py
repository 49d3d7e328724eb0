"""LongBench's own numbers: the columns of Table 1, each data set, and the parts of LongBench-E and v2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from hisa_eval.report.accuracy import DIGITS, grouped_scores
from hisa_eval.report.numbers import NOTHING
from hisa_eval.report.score_tables import methods_note, score_cell
from hisa_eval.report.study import Study
from hisa_eval.report.table import Cell, Table
from hisa_eval.report.task_tables import CUT, short_name
from hisa_eval.report.weighted import Group, weighted_mean
from hisa_tasks.longbench.catalog import BUCKETS, CATEGORIES, DATASETS, EXTENDED, MINI, any_dataset
from hisa_tasks.longbench.v2 import DIFFICULTIES, LENGTHS
from hisa_tasks.longbench.v2 import NAME as V2

SUITE = "longbench"
GENERATED = "mini"
GENERATED_TITLE = "mini (generated, not LongBench)"
_COLUMNS = ("n", "score", "ci_low", "ci_high", "ci_method")
_COUNTS = ("n", "failed", "cut")

_EDITIONS: tuple[tuple[str, str, Sequence[str]], ...] = (
    ("longbench", "LongBench", tuple(DATASETS)),
    ("longbench-e", "LongBench-E", EXTENDED),
    (GENERATED, GENERATED_TITLE, tuple(MINI)),
)

Groups = Mapping[str, Sequence[Group]]
"""What each column of a table is the weighted mean of."""


def longbench_tasks(study: Study) -> list[str]:
    """Data sets of a study, as in records, in the official order, LongBench-E's last, then v2 and mini's."""
    there = set(study.samples["task"].dropna())
    official = (f"{SUITE}/{name}" for name in (*DATASETS, *EXTENDED))
    known = (*official, V2, *(f"{GENERATED}/{name}" for name in MINI))
    return [name for name in known if name in there]


def mini_tasks(study: Study) -> list[str]:
    """The generated data sets of a study, as in records."""
    return [task for task in longbench_tasks(study) if task.startswith(f"{GENERATED}/")]


def labelled(table: Table) -> Table:
    """The table with mini in its title, so that nobody takes it for one of LongBench."""
    return table if GENERATED in table.title else replace(table, title=f"{table.title}, {GENERATED_TITLE}")


def longbench_tables(study: Study) -> list[Table]:
    """All of them, the most telling first."""
    names = [task.rpartition("/")[2] for task in longbench_tasks(study) if task != V2]
    tables = []
    for name, title, whole in _EDITIONS:
        own = [one for one in names if one in whole]
        if own:
            tables.append(_categories(study, own, name, title, len(whole)))
        if own and whole is EXTENDED:
            tables.append(_buckets(study, own))
    if names:
        tables.append(_data_sets(study))
    if V2 in study.suites:
        tables.append(_second(study))
    return tables


def _categories(study: Study, names: Sequence[str], name: str, title: str, whole: int) -> Table:
    """The six categories, and their unweighted mean, as in Table 1 of the HISA paper."""

    def groups(label: str) -> Groups:
        scores = _scores(study.samples, label)
        inside = {
            key: [scores[one] for one in names if scores.get(one) and any_dataset(one).category == key]
            for key in CATEGORIES
        }
        found: dict[str, Sequence[Group]] = {
            CATEGORIES[key].short: [Group(1.0, own) for own in lists] for key, lists in inside.items()
        }
        found["Avg"] = [Group(1 / len(lists), own) for lists in inside.values() for own in lists]
        return found

    notes = [
        f"Unweighted means over data sets ({len(names)} of {whole} were asked), Avg over the categories that "
        "have scores, with 95% intervals; shares of 1, of which LongBench gives per cents.",
        "; ".join(f"{one.short}: {one.title}" for one in CATEGORIES.values()) + ".",
    ]
    if name == GENERATED:
        notes.append(
            "Generated questions for the nano model: no scores of LongBench, nor comparable with any."
        )
    suite = GENERATED if name == GENERATED else SUITE
    return _table(study, name, title, groups, {f"{suite}/{one}" for one in names}, notes)


def _buckets(study: Study, names: Sequence[str]) -> Table:
    """LongBench-E by length."""
    frame = study.samples
    buckets = frame["details"].map(lambda one: one.get("bucket"))

    def groups(label: str) -> Groups:
        return {
            bucket: [
                Group(1.0, scores)
                for name in names
                if (scores := _scores(frame[buckets == bucket], label).get(name))
            ]
            for bucket in BUCKETS
        }

    note = "Unweighted means over data sets by words or Chinese characters of the row, with 95% intervals."
    tasks = {f"{SUITE}/{one}" for one in names}
    return _table(study, "longbench-e-lengths", "LongBench-E by length", groups, tasks, [note])


def _second(study: Study) -> Table:
    """LongBench v2 with its official parts."""
    own = study.samples[study.samples["task"] == V2]
    parts = {"difficulty": DIFFICULTIES, "length_class": LENGTHS}

    def groups(label: str) -> Groups:
        found: dict[str, Sequence[Group]] = {"overall": _one(own, label)}
        for field, values in parts.items():
            column = own["details"].map(lambda one, field=field: one.get(field))
            found |= {value: _one(own[column == value], label) for value in values}
        return found

    note = "Share of questions answered rightly with its 95% interval; a blind guess is right in 0.25."
    return _table(study, V2, "LongBench v2", groups, {V2}, [note])


def _one(samples: pd.DataFrame, label: str) -> list[Group]:
    return [Group(1.0, scores) for scores in _scores(samples, label).values()]


def _data_sets(study: Study) -> Table:
    """Every data set, with what was cut."""
    scores = grouped_scores(study, ["task"]).drop(columns=["prefill_seconds", "decode_seconds"])
    found = {(one["task"], one["indexer"]): one for one in scores.to_dict("records")}
    frame = study.samples
    shortened = frame[frame["details"].map(lambda one: one.get("n_cut", 0) > 0)]
    rows = []
    for place, task in enumerate(longbench_tasks(study)):
        cut = shortened.loc[shortened["task"] == task, "sample_id"].nunique()
        asked = frame.loc[frame["task"] == task, "sample_id"].nunique()
        rows.append(
            [
                Cell(short_name(task), place),
                Cell(f"{cut} of {asked}", cut),
                *(score_cell(found.get((task, label)), cut=True) for label in study.labels),
            ]
        )
    notes = [
        "Mean score with its 95% interval; n counts the samples that were scored.",
        "Prompts cut: rows whose prompt lost its middle.",
        CUT,
        methods_note(scores),
    ]
    columns = ["data set", "prompts cut", *study.labels]
    return Table("tasks", "Score by data set", columns, rows, scores, notes)


def _table(
    study: Study,
    name: str,
    title: str,
    groups: Callable[[str], Groups],
    tasks: set[str],
    notes: Sequence[str],
) -> Table:
    """A row for each indexer, a column for each weighted mean."""
    rows, data = [], []
    columns: list[str] = []
    for label in study.labels:
        own = study.samples[(study.samples["series"] == label) & study.samples["task"].isin(tasks)]
        answered = own[own["status"] == "ok"]
        counts = (
            len(answered),
            int((own["status"] == "failed").sum()),
            int((answered["finish_reason"] == "length").sum()),
        )
        cells = []
        means = groups(label)
        columns = list(means)
        for column, parts in means.items():
            row = _row(parts)
            data.append({"indexer": label, "column": column, **row})
            cells.append(score_cell({**row, "n_failed": 0}) if parts else Cell(NOTHING, -1))
        rows.append([Cell(label), *cells, *(Cell(str(count), count) for count in counts)])
        # Failures and cuts are counted once an indexer, beside the means.
        data += [{"indexer": label, "column": name, "n": n} for name, n in zip(_COUNTS, counts, strict=True)]
    frame = pd.DataFrame(data, columns=["indexer", "column", *_COLUMNS])
    heads = ["indexer", *columns, *_COUNTS]
    return Table(name, title, heads, rows, frame, [*notes, CUT, methods_note(frame)])


def _row(parts: Sequence[Group]) -> dict[str, Any]:
    interval = weighted_mean(parts)
    return {
        "n": sum(len(one.scores) for one in parts),
        "score": round(interval.mean, DIGITS),
        "ci_low": round(interval.low, DIGITS),
        "ci_high": round(interval.high, DIGITS),
        "ci_method": interval.method,
    }


def _scores(samples: pd.DataFrame, label: str) -> dict[str, list[float]]:
    """Scores by data set."""
    own = samples[(samples["series"] == label) & (samples["status"] == "ok")]
    found: dict[str, list[float]] = {}
    for task, score in zip(own["task"], own["score"], strict=True):
        found.setdefault(str(task).rpartition("/")[2], []).append(float(score))
    return found
