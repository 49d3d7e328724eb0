"""RULER's summary numbers: means over tasks, and over lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hisa_tasks.ruler.catalog import find_task

THRESHOLD = 0.856
"""Llama-2-7B-chat's score at 4096 tokens, which RULER takes as the least that counts as handling a length."""


def over_tasks(scores: Mapping[str, float]) -> float:
    """Unweighted mean over tasks, as RULER's table gives it for each length.

    Args:
        scores: Task name -> score.

    Raises:
        ValueError: There is no score, or a task is unknown.
    """
    if not scores:
        raise ValueError("there is no score to average – run at least one task")
    return sum(scores[find_task(name).name] for name in scores) / len(scores)


def over_categories(scores: Mapping[str, float]) -> dict[str, float]:
    """Unweighted mean over the tasks of each category that has any, in RULER's order.

    Args:
        scores: Task name -> score.
    """
    groups: dict[str, list[float]] = {}
    for name, score in scores.items():
        groups.setdefault(find_task(name).category, []).append(score)
    order = ("retrieval", "tracing", "aggregation", "question answering")
    return {
        category: sum(groups[category]) / len(groups[category]) for category in order if category in groups
    }


def over_lengths(scores: Mapping[int, float], weights: Literal["equal", "inc", "dec"] = "equal") -> float:
    """Mean over lengths: RULER's `Avg.`, `wAvg. (inc)` or `wAvg. (dec)`.

    Args:
        scores: Length in tokens -> score.
        weights: `"equal"`; `"inc"` for weights of 1, 2, 3, … from the shortest length on; `"dec"` for the
            same from the longest.

    Raises:
        ValueError: There is no score.

    Source: the RULER paper (arXiv 2404.06654), section 4; the weights reproduce the table of its repository.
    """
    if not scores:
        raise ValueError("there is no score to average – run at least one length")
    ordered = [scores[length] for length in sorted(scores, reverse=weights == "dec")]
    factors = [1] * len(ordered) if weights == "equal" else list(range(1, len(ordered) + 1))
    return sum(f * score for f, score in zip(factors, ordered, strict=True)) / sum(factors)


def effective_length(scores: Mapping[int, float], threshold: float = THRESHOLD) -> int | None:
    """The longest length up to which every length reaches the threshold; None where the first one does not.

    Args:
        scores: Length in tokens -> mean over tasks.
        threshold: Least score.
    """
    longest = None
    for length in sorted(scores):
        if scores[length] < threshold:
            break
        longest = length
    return longest
