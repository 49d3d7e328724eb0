"""Predictions on RULER, scored as its own scorer does."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from hisa_eval.run.predictions_file import read_lines
from hisa_eval.run.scores import Rules, Scored, Scores, group_totals, percent
from hisa_tasks.longbench.thinking import strip_thinking
from hisa_tasks.ruler.scoring import score_answer


def score_ruler(path: Path, rules: Rules) -> Scores:
    """Score `{id, task, pred, answers}`; `outputs`, RULER's own name of the answers, does as well.

    Raises:
        UserError: a line cannot be scored.
    """
    rows = []
    for line in read_lines(path):
        task, answers = line.text("task"), line.answers("answers", "outputs")
        prediction = strip_thinking(line.text("pred"), rules.thinking)
        with line.input_errors():
            score = score_answer(task, answers, prediction)
        rows.append(Scored(line.identity(f"{task}:{line.number}"), task, score))
    tasks = group_totals(rows)
    means = [fmean(row.score for row in rows if row.group == task) for task in tasks]
    totals = {
        "suite": "ruler",
        "n": len(rows),
        "average": percent(fmean(means)),
        "tasks": tasks,
        "thinking": rules.thinking,
    }
    return Scores("ruler", "task", tuple(rows), totals)
