"""Scores of predictions that were made elsewhere, by the official rules; no model, no torch."""

from __future__ import annotations

from pathlib import Path

from hisa_eval.errors import unknown_name
from hisa_eval.run.score_longbench import score_longbench, score_longbench_v2
from hisa_eval.run.score_ruler import score_ruler
from hisa_eval.run.scores import Rules, Scores
from hisa_tasks.longbench.thinking import RULES

SUITES = {"longbench": score_longbench, "longbench-v2": score_longbench_v2, "ruler": score_ruler}


def score_predictions(path: Path, suite: str, rules: Rules | None = None) -> Scores:
    """Score every line of a file.

    Args:
        path: JSON lines; the fields are those of the suite's function.
        suite: One of `SUITES`.
        rules: Choices that change scores; the official ones by default.

    Raises:
        UserError: the suite or a rule is unknown, or a line cannot be scored; nothing is scored then.
    """
    rules = rules or Rules()
    if suite not in SUITES:
        raise unknown_name("suite", suite, SUITES)
    if rules.thinking not in RULES:
        raise unknown_name("thinking rule", rules.thinking, RULES)
    return SUITES[suite](path, rules)
