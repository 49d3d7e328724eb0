"""Which tables a study has beside those of every run: each suite's own."""

from __future__ import annotations

from hisa_eval.report.longbench import GENERATED, labelled, longbench_tables, longbench_tasks
from hisa_eval.report.ruler import averages_table, ruler_tasks
from hisa_eval.report.score_tables import accuracy_table
from hisa_eval.report.study import Study
from hisa_eval.report.table import Table
from hisa_eval.report.task_tables import task_difference_table, task_table


def suite_tables(study: Study) -> list[Table]:
    """The tables of scores that a suite calls its result, the most telling first; none for a needle run."""
    tables = []
    if tasks := ruler_tasks(study):
        tables += [averages_table(study), task_table(study, tasks)]
    return tables + longbench_tables(study)


def suite_differences(study: Study) -> Table | None:
    """Differences to flat DSA task by task; None without tasks, or without flat DSA."""
    tasks = [*ruler_tasks(study), *longbench_tasks(study)]
    return task_difference_table(study, tasks) if tasks else None


def headline(study: Study) -> list[Table]:
    """What a command prints of its run."""
    tables = suite_tables(study) or [accuracy_table(study)]
    return [labelled(one) for one in tables] if GENERATED in study.suites else tables
