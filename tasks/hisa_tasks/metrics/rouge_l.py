"""ROUGE-L F1 as LongBench takes it: the `rouge` package, failures scored 0."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from hisa_tasks.metrics.best import best

_RECURSION_LIMIT = 1000


def rouge_l(references: Sequence[str], prediction: str) -> float:
    """ROUGE-L F1 with the best of the references.

    Formula: texts are split at "." into sentences and at spaces into words. With m and n distinct words in
    reference and prediction, and u the size of the union over sentence pairs of the distinct words of one
    longest common subsequence each, r = u / m, p = u / n and F1 = 2 p r / (p + r + 1e-8).

    Corner cases: case counts, nothing is stemmed. An exact match gives 0.999999995. A text that is empty or
    holds dots alone scores 0. The package walks back along the longest common subsequence by recursion: a
    pair of sentences with more than about 990 words together (a text without "." in it) passes Python's
    limit of 1000 frames and scores 0 in the original, so it does here, however deep the caller stands.

    Args:
        references: Expected answers.
        prediction: What the model generated.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: The package is not installed.

    Source: THUDM/LongBench, metrics.py; PyPI `rouge` 1.0.1; Lin 2004. Not Google's `rouge-score`, which gives
        other numbers.
    """
    return best(rouge_l_pair, references, prediction)


def rouge_l_pair(prediction: str, reference: str, official_depth: int = 3) -> float:
    """ROUGE-L F1 of two texts.

    Args:
        prediction: What the model generated.
        reference: Expected answer.
        official_depth: Frames above the package in the original: its script, its scorer and its metric.

    Returns:
        A fraction from 0 to 1, 0 where the package fails.

    Raises:
        ValueError: The package is not installed.
    """
    try:
        from rouge import Rouge
    except ImportError:
        raise ValueError("ROUGE needs the package rouge – pip install rouge==1.0.1") from None
    package = Rouge()
    found: list[float] = []

    def score() -> None:
        with suppress(Exception), _official_stack(official_depth):
            found.append(float(package.get_scores([prediction], [reference], avg=True)["rouge-l"]["f"]))

    # On a stack of its own: what the caller's holds beside Python frames cannot be counted.
    thread = threading.Thread(target=score)
    thread.start()
    thread.join()
    return found[0] if found else 0.0


@contextmanager
def _official_stack(official_depth: int) -> Iterator[None]:
    """Leaves as many frames to the package as the original script does, whatever the depth of the thread."""
    depth = 0
    frame = sys._getframe(2)
    while frame is not None:
        depth += 1
        frame = frame.f_back  # type: ignore[assignment]
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(_RECURSION_LIMIT + depth - official_depth)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
