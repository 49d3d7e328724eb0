"""From scores of answers to the numbers of a table: data sets, categories and their means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hisa_tasks.longbench.catalog import (
    BUCKETS,
    CATEGORIES,
    DATASETS,
    EXTENDED,
    MINI,
    any_dataset,
    bucket,
    is_extended,
)


class CategoryScore(NamedTuple):
    """A category's unweighted mean over its data sets that have scores; `missing` names the others."""

    mean: float
    datasets: tuple[str, ...]
    missing: tuple[str, ...]


class Averages(NamedTuple):
    """The two overall numbers in use; NaN where nothing was scored.

    `paper` is the unweighted mean of the six categories (Table 1 of the HISA paper). `lm_eval` is the
    unweighted mean of the data sets (lm-eval's group `longbench`, whose leaves weigh the same). Each is whole
    only if `complete`: every data set of the edition has scores.
    """

    paper: float
    lm_eval: float
    complete: bool


def official_score(scores: Sequence[float]) -> float:
    """A data set's score as the official scorer prints it: per cent, two digits.

    Raises:
        ValueError: There is no score.
    """
    if not scores:
        raise ValueError("no scores to average – score at least one answer")
    total = 0.0
    for one in scores:
        total += one
    return round(100 * total / len(scores), 2)


def official_buckets(scores: Sequence[float], lengths: Sequence[float]) -> dict[str, float]:
    """LongBench-E's scores of a data set by length, as the official scorer prints them; NaN for no answer.

    Args:
        scores: Fractions from 0 to 1.
        lengths: The rows' `length` fields.
    """
    import numpy as np

    by_bucket: dict[str, list[float]] = {name: [] for name in BUCKETS}
    for one, length in zip(scores, lengths, strict=True):
        by_bucket[bucket(length)].append(one)
    return {
        name: round(100 * float(np.mean(found)), 2) if found else math.nan
        for name, found in by_bucket.items()
    }


def category_scores(means: Mapping[str, float]) -> dict[str, CategoryScore]:
    """The six categories, in the paper's order.

    Args:
        means: Mean by data set, of LongBench, of LongBench-E or of mini.

    Raises:
        ValueError: A data set is unknown, or editions are mixed.
    """
    extended = [name for name in means if is_extended(name)]
    if extended and len(extended) < len(means):
        raise ValueError("data sets of LongBench and LongBench-E are mixed – average them apart")
    generated = [name for name in means if name in MINI]
    if generated and len(generated) < len(means):
        raise ValueError("data sets of LongBench and mini are mixed – average them apart")
    expected = EXTENDED if extended else tuple(MINI if generated else DATASETS)
    found = {}
    for category in CATEGORIES:
        inside = tuple(name for name in means if any_dataset(name).category == category)
        missing = tuple(
            name for name in expected if any_dataset(name).category == category and name not in means
        )
        found[category] = CategoryScore(mean(means[name] for name in inside), inside, missing)
    return found


def averages(means: Mapping[str, float]) -> Averages:
    """The overall numbers.

    Args:
        means: Mean by data set; see `category_scores`.
    """
    categories = category_scores(means)
    return Averages(
        mean(one.mean for one in categories.values() if one.datasets),
        mean(means.values()),
        not any(one.missing for one in categories.values()),
    )


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean, NaN of nothing."""
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else math.nan
