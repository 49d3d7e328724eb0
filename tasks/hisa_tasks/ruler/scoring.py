"""Scores of RULER's tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hisa_tasks.metrics.string_match_all import string_match_all
from hisa_tasks.metrics.string_match_part import string_match_part
from hisa_tasks.ruler.catalog import find_task
from hisa_tasks.sample import Sample

METRICS: dict[str, Callable[[Sequence[str], str], float]] = {
    "string-match-all": string_match_all,
    "string-match-part": string_match_part,
}


def score_answer(task: str, references: Sequence[str], prediction: str) -> float:
    """How well a prediction answers a question of a task.

    Args:
        task: RULER's name of the task.
        references: Expected answers.
        prediction: What the model generated after the prompt.

    Returns:
        A fraction from 0 to 1 (RULER's tables give 100 times its mean over samples).

    Raises:
        ValueError: The task is unknown, or there is no reference.
    """
    if isinstance(references, str):
        raise ValueError(f"references are one string, {references!r} – give a sequence of strings")
    return METRICS[find_task(task).metric](references, prediction)


def score(sample: Sample, prediction: str) -> float:
    """How well a prediction answers a sample; see `score_answer`."""
    return score_answer(str(sample.meta["ruler"]), sample.references, prediction)
