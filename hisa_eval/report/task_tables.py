"""Tables of suites of several tasks: each task by length, and its difference to flat DSA."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from hisa_eval.report.accuracy import differences, grouped_scores
from hisa_eval.report.score_tables import difference_cells, length_cell, methods_note, score_cell
from hisa_eval.report.study import Study
from hisa_eval.report.table import Cell, Table

CUT = "Cut: answers that ended at the generation limit; they are scored like the others."


def task_table(study: Study, tasks: Sequence[str]) -> Table:
    """Mean score of every task by length and indexer.

    Args:
        study: What was run.
        tasks: Names as in records, in the order of the rows.
    """
    data = grouped_scores(study, ["task", "length"]).drop(columns=["prefill_seconds", "decode_seconds"])
    found = {(one["task"], one["length"], one["indexer"]): one for one in data.to_dict("records")}
    rows = [
        [
            Cell(short_name(task), place),
            length_cell(length),
            *(score_cell(found.get((task, length, label)), cut=True) for label in study.labels),
        ]
        for place, task in enumerate(tasks)
        for length in study.lengths
    ]
    return Table(
        "tasks",
        "Accuracy by task",
        ["task", "length", *study.labels],
        rows,
        data,
        ["Mean score with its 95% interval; n counts the samples that were scored.", CUT, methods_note(data)],
        n_keys=2,
    )


def task_difference_table(study: Study, tasks: Sequence[str]) -> Table | None:
    """Each indexer against flat DSA on the same samples, task by task over all lengths.

    Args:
        study: What was run.
        tasks: Names as in records, in the order of the rows.
    """
    data = differences(study, by="task", groups=tasks)
    if not len(data):
        return None
    rows = [
        [Cell(str(row["indexer"])), Cell(short_name(row["task"])), *difference_cells(row)]
        for row in data.to_dict("records")
    ]
    return Table(
        "difference-by-task",
        "Difference to flat DSA by task, all lengths",
        ["indexer", "task", "pairs", "difference", "95% interval", "better", "worse", "p"],
        rows,
        data,
        ["As above; p is not corrected for the number of tasks."],
        n_keys=2,
    )


def short_name(task: str | None) -> str:
    """A task without its suite (`mini`, which must not be mistaken, stays); `all` where none is named."""
    if pd.isna(task):
        return "all"
    return str(task) if str(task).startswith("mini/") else str(task).rpartition("/")[2]
