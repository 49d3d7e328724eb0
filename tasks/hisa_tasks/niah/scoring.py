"""Scores of the needle task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hisa_tasks.metrics.key_facts import key_facts
from hisa_tasks.metrics.string_match_all import string_match_all
from hisa_tasks.sample import Sample

METRICS: dict[str, Callable[[Sequence[str], str], float]] = {
    "string-match-all": string_match_all,
    "key-facts": key_facts,
}


def score(sample: Sample | Sequence[str], prediction: str, metric: str | None = None) -> float:
    """How well a prediction answers a needle question.

    Args:
        sample: The sample, or its references alone.
        prediction: What the model generated after the prompt.
        metric: `"string-match-all"` or `"key-facts"`; None for the sample's own, for references alone the
            first.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: The metric is unknown, or there is no reference.
    """
    if isinstance(sample, str):
        raise ValueError(f"references are one string, {sample!r} – give a sequence of strings")
    if isinstance(sample, Sample):
        references: Sequence[str] = sample.references
        metric = metric or sample.meta.get("metric")
    else:
        references = sample
    name = metric or "string-match-all"
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r} – known: {', '.join(METRICS)}")
    return METRICS[name](references, prediction)
