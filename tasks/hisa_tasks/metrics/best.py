"""Several references: the best score counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def best(metric: Callable[[str, str], float], references: Sequence[str], prediction: str) -> float:
    """The highest score that a prediction reaches against any of its references.

    Args:
        metric: Called with the prediction and one reference.
        references: Expected answers; with none the score is 0.
        prediction: What the model generated.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: The references are one string.

    Source: THUDM/LongBench, eval.py: the maximum over the answers, started at 0.
    """
    if isinstance(references, str):
        raise ValueError(f"references are one string, {references!r} – give a sequence of strings")
    highest = 0.0
    for reference in references:
        highest = max(highest, float(metric(prediction, reference)))
    return highest
