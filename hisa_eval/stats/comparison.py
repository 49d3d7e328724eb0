"""Two methods on the same samples, task by task and overall."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hisa_eval.stats.clusters import Clusters, gather, standard_error
from hisa_eval.stats.detectable import smallest_detectable
from hisa_eval.stats.holm import holm
from hisa_eval.stats.interval import MIN_RESAMPLED
from hisa_eval.stats.permutation import sign_flip_p
from hisa_eval.stats.resample import bootstrap_clusters

OVERALL = "overall"


@dataclass(frozen=True)
class Pair:
    """One sample under both methods.

    Attributes:
        task: What it is averaged with.
        a: Score of the baseline.
        b: Score of the other.
        cluster: Samples of one cluster share a context; None for a sample of its own.
    """

    task: str
    a: float
    b: float
    cluster: Hashable | None = None


class Difference(NamedTuple):
    """`b - a` on one task, or overall.

    `low` and `high` are NaN with fewer than ten clusters or without spread. `p` is the sign-flip test's,
    `p_holm` the same corrected over the tasks (NaN overall, which is one test). `smallest` is the true
    difference that would have been found with probability 0.8 at level 0.05. `better` and `worse` count
    samples.
    """

    task: str
    n_pairs: int
    n_clusters: int
    mean_a: float
    mean_b: float
    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    smallest: float
    better: int
    worse: int


class Comparison(NamedTuple):
    """Differences by task, in order of first mention, and of the unweighted mean over tasks."""

    tasks: tuple[Difference, ...]
    overall: Difference


class Joined(NamedTuple):
    """Pairs of the samples that both methods have, and the ids that only one has."""

    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def join(
    a: Mapping[str, float],
    b: Mapping[str, float],
    tasks: Mapping[str, str],
    clusters: Mapping[str, Hashable] | None = None,
) -> Joined:
    """Put the scores of two methods together by sample id, sorted by it.

    Args:
        a: Score of the baseline by sample id.
        b: Score of the other by sample id.
        tasks: Task of every shared sample.
        clusters: Cluster by sample id; samples without one stand alone.
    """
    groups = clusters or {}
    shared = sorted(set(a) & set(b))
    return Joined(
        tuple(Pair(tasks[name], a[name], b[name], groups.get(name)) for name in shared),
        tuple(sorted(set(a) - set(b))),
        tuple(sorted(set(b) - set(a))),
    )


def compare(
    pairs: Sequence[Pair], *, confidence: float = 0.95, seed: int = 0, n_resamples: int = 9999
) -> Comparison:
    """Compare two methods on paired samples.

    Args:
        pairs: At least one; see `join`.
        confidence: Coverage aimed at.
        seed: Of resamples and sign patterns.
        n_resamples: Of both.

    Raises:
        ValueError: there is no pair, or a score is not finite.
    """
    if not pairs:
        raise ValueError("no sample is in both: nothing to compare")
    by_task: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_task.setdefault(pair.task, []).append(pair)
    parts = {task: _clusters(inside) for task, inside in by_task.items()}

    def difference(name: str, tasks: Sequence[str]) -> Difference:
        inside = [by_task[task] for task in tasks]
        gathered = [parts[task] for task in tasks]
        low, high = _interval(gathered, confidence, seed, n_resamples)
        flips = np.concatenate([part.sums / part.counts.sum() for part in gathered])
        n_clusters = sum(part.sums.size for part in gathered)
        flat = [pair for group in inside for pair in group]
        mean_a = float(np.mean([np.mean([pair.a for pair in group]) for group in inside]))
        mean_b = float(np.mean([np.mean([pair.b for pair in group]) for group in inside]))
        return Difference(
            task=name,
            n_pairs=len(flat),
            n_clusters=n_clusters,
            mean_a=mean_a,
            mean_b=mean_b,
            mean=float(np.mean([part.sums.sum() / part.counts.sum() for part in gathered])),
            low=low,
            high=high,
            p=sign_flip_p(flips, seed=seed, n_resamples=n_resamples),
            p_holm=math.nan,
            smallest=smallest_detectable(standard_error(gathered), n_clusters - len(gathered)),
            better=sum(pair.b > pair.a for pair in flat),
            worse=sum(pair.b < pair.a for pair in flat),
        )

    rows = [difference(task, [task]) for task in by_task]
    adjusted = holm([row.p for row in rows])
    return Comparison(
        tuple(row._replace(p_holm=p) for row, p in zip(rows, adjusted, strict=True)),
        difference(OVERALL, list(by_task)),
    )


def _clusters(pairs: Sequence[Pair]) -> Clusters:
    """Differences of one task by cluster; a sample without a cluster is one of its own."""
    names = [
        ("alone", place) if pair.cluster is None else ("shared", pair.cluster)
        for place, pair in enumerate(pairs)
    ]
    return gather([pair.b - pair.a for pair in pairs], names)


def _interval(
    parts: Sequence[Clusters], confidence: float, seed: int, n_resamples: int
) -> tuple[float, float]:
    enough = all(part.sums.size >= 2 for part in parts)
    if not enough or sum(part.sums.size for part in parts) < MIN_RESAMPLED or not standard_error(parts) > 0:
        return math.nan, math.nan
    found = bootstrap_clusters(parts, confidence=confidence, seed=seed, n_resamples=n_resamples)
    return found.low, found.high
