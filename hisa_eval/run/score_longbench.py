"""Predictions on LongBench, scored as its own scorer does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean
from typing import Any

from hisa_eval.errors import unknown_name
from hisa_eval.run.predictions_file import read_lines
from hisa_eval.run.scores import Rules, Scored, Scores, group_totals, percent
from hisa_tasks.longbench.catalog import CATEGORIES, DATASETS, EXTENDED, SUFFIX, find_dataset
from hisa_tasks.longbench.scoring import score_answer
from hisa_tasks.longbench.thinking import strip_thinking
from hisa_tasks.longbench.totals import averages, category_scores, official_buckets, official_score
from hisa_tasks.metrics.code_similarity import VARIANTS
from hisa_tasks.metrics.multiple_choice import chosen_letter, multiple_choice

LIBRARIES = ("rouge", "jieba", "rapidfuzz")
"""Whose versions the totals record."""


def score_longbench(path: Path, rules: Rules) -> Scores:
    """Score `{id, dataset, pred, answers, all_classes, length}`.

    `id` may be missing (the line's number stands in), so may `dataset` where the file bears the data set's
    name: the official prediction files are read as they are. `answers` may be one text, and numbers.
    `all_classes` is read for trec and lsht alone; a line without it takes those of its data set's last line
    that has them, as the official scorer does for every line. `length` is needed for LongBench-E's buckets.
    Lines of code completion get the score of every variant.

    Raises:
        UserError: a line cannot be scored.
    """
    if rules.code not in VARIANTS:
        raise unknown_name("code similarity", rules.code, VARIANTS)
    variants = VARIANTS if _version("rapidfuzz") else (rules.code,)
    of_file = path.stem if path.stem in (*DATASETS, *EXTENDED) else None
    rows = []
    lines = list(read_lines(path))
    names = [of_file if of_file and "dataset" not in one.values else one.text("dataset") for one in lines]
    last = {
        name: line.values["all_classes"]
        for name, line in zip(names, lines, strict=True)
        if line.values.get("all_classes") is not None
    }
    for name, line in zip(names, lines, strict=True):
        with line.input_errors():
            metric = find_dataset(name).metric
        is_code, classes = metric == "code-similarity", None
        prediction, answers = strip_thinking(line.text("pred"), rules.thinking), line.answers("answers")
        if metric == "classification":
            classes = line.optional_texts("all_classes")
            classes = last.get(name) if classes is None else classes
        with line.input_errors():
            scores = {
                one: score_answer(name, answers, prediction, classes, code=one)
                for one in (variants if is_code else (rules.code,))
            }
        extra = {"variant": rules.code, "variants": scores} if is_code else {}
        identity, length = line.identity(f"{name}:{line.number}"), line.optional_number("length")
        rows.append(Scored(identity, name, scores[rules.code], length, extra))
    totals = {
        "suite": "longbench",
        "n": len(rows),
        **_overall(rows),
        "datasets": _datasets(rows),
        "code_similarity": rules.code,
        "thinking": rules.thinking,
        "versions": {name: _version(name) for name in LIBRARIES},
    }
    return Scores("longbench", "dataset", tuple(rows), totals)


def score_longbench_v2(path: Path, rules: Rules) -> Scores:
    """Score `{id, pred, answer, difficulty, length}`; the last two, where given, make parts.

    Raises:
        UserError: a line cannot be scored.
    """
    rows = []
    parts: dict[str, list[float]] = {}
    for line in read_lines(path):
        answers = line.answers("answer", "answers")
        prediction = strip_thinking(line.text("response", "pred"), rules.thinking)
        score = multiple_choice(answers, prediction)
        extra = {"choice": chosen_letter(prediction)}
        rows.append(Scored(line.identity(f"longbench-v2:{line.number}"), "longbench-v2", score, None, extra))
        for name in ("difficulty", "length"):
            value = line.values.get(name)
            if isinstance(value, str):
                parts.setdefault(value, []).append(score)
    totals = {
        "suite": "longbench-v2",
        "n": len(rows),
        "score": percent(fmean(row.score for row in rows), 1),
        "n_no_choice": sum(row.extra["choice"] is None for row in rows),
        "parts": {
            name: {"score": percent(fmean(found), 1), "n": len(found)} for name, found in parts.items()
        },
        "datasets": group_totals(rows),
        "thinking": rules.thinking,
    }
    return Scores("longbench-v2", "dataset", tuple(rows), totals)


def _datasets(rows: Sequence[Scored]) -> dict[str, dict[str, Any]]:
    """Totals by data set, official numbers and LongBench-E's buckets among them."""
    groups = group_totals(rows)
    for name, facts in groups.items():
        mine = [row for row in rows if row.group == name]
        scores = [row.score for row in mine]
        facts["score"] = official_score(scores)
        lengths = [row.length for row in mine if row.length is not None]
        if len(lengths) == len(mine) and (name in EXTENDED or name + SUFFIX in EXTENDED):
            buckets = official_buckets(scores, lengths)
            facts["by_length"] = {
                part: None if math.isnan(value) else value for part, value in buckets.items()
            }
    return groups


def _overall(rows: Sequence[Scored]) -> dict[str, Any]:
    """Categories and averages of LongBench, and under names with `_e` of LongBench-E."""
    by_name: dict[str, list[float]] = {}
    for row in rows:
        by_name.setdefault(row.group, []).append(row.score)
    found: dict[str, Any] = {}
    for suffix in ("", SUFFIX):
        means = {
            name: fmean(scores) for name, scores in by_name.items() if (name in EXTENDED) == bool(suffix)
        }
        if not means:
            continue
        overall = averages(means)
        found[f"average{suffix}"] = {
            "categories": percent(overall.paper),
            "datasets": percent(overall.lm_eval),
            "complete": overall.complete,
        }
        found[f"categories{suffix}"] = {
            CATEGORIES[key].short: {
                "name": CATEGORIES[key].title,
                "lm_eval_group": CATEGORIES[key].lm_eval,
                "score": percent(one.mean) if one.datasets else None,
                "datasets": list(one.datasets),
                "missing": list(one.missing),
            }
            for key, one in category_scores(means).items()
        }
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
