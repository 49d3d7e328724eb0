"""Few-shot classification: is the right class named, and how many others."""

from __future__ import annotations

from collections.abc import Sequence

from hisa_tasks.metrics.best import best


def classification(references: Sequence[str], prediction: str, all_classes: Sequence[str]) -> float:
    """One over the number of classes that the answer names, if the right one is among them.

    Formula: the named classes are those that occur in the prediction as substrings. A named class that is
    part of the reference's own name is struck out. 1 / (named classes left) if the reference is left, else 0.

    Corner cases: case counts. Classes are struck out of the list while it is walked through, so the class
    after a struck one is skipped and may stay, as in the original. A class that is listed twice counts twice.

    Args:
        references: Expected classes.
        prediction: What the model generated.
        all_classes: Every class of the data set, in its order.

    Returns:
        A fraction from 0 to 1.

    Source: THUDM/LongBench, metrics.py.
    """
    return best(lambda one, other: _share(one, other, all_classes), references, prediction)


def _share(prediction: str, reference: str, all_classes: Sequence[str]) -> float:
    named = [name for name in all_classes if name in prediction]
    place = 0
    while place < len(named):
        name = named[place]
        if name in reference and name != reference:
            named.remove(name)
        place += 1
    return 1.0 / len(named) if reference in named else 0.0
