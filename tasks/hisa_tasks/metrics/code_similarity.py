"""Code completion: how alike the first line of code and the true next line are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hisa_tasks.metrics.best import best

_Ratio = Callable[[str, str], float]

VARIANTS = ("difflib", "rapidfuzz")
"""What computes the ratio; the first is what the benchmark's own requirements install."""


def first_code_line(prediction: str) -> str:
    """The first line without a back-tick, "#" or "//"; "" where there is none.

    Newlines before the first line are dropped; a line of spaces is a line.
    """
    for line in prediction.lstrip("\n").split("\n"):
        if not any(mark in line for mark in ("`", "#", "//")):
            return line
    return ""


def code_similarity(references: Sequence[str], prediction: str, variant: str = VARIANTS[0]) -> float:
    """Edit similarity of the first line of code with the best of the references, in hundredths.

    Formula: round(100 * 2 M / T) / 100 for M characters matched of T in both texts together.

    Corner cases: nothing is stripped ("\\r" at an answer's end counts); equal texts score 1, two empty ones
    too; one empty text scores 0; halves round to the even number.

    Variants: LongBench calls `fuzzywuzzy.fuzz.ratio`, which gives one of two numbers:

    - `"difflib"`: without python-Levenshtein, as LongBench's requirements.txt installs it. M comes from
      `difflib.SequenceMatcher(None, prediction, reference)`, longest block first; characters that fill more
      than 1 % of a reference of 200 characters or more are ignored as junk.
    - `"rapidfuzz"`: with python-Levenshtein, as many re-runs had it. M is the longest common subsequence;
      `rapidfuzz.fuzz.ratio`, rounded, is the same number. Scores are 1 to 3 points higher on lcc and
      repobench-p.

    Args:
        references: The true next line, one or more.
        prediction: What the model generated.
        variant: One of `VARIANTS`.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: The variant is unknown, or rapidfuzz is not installed.

    Source: THUDM/LongBench, metrics.py and requirements.txt; fuzzywuzzy 0.18.0, fuzz.py.
    """
    if variant not in VARIANTS:
        raise ValueError(f"unknown code similarity {variant!r} – known: {', '.join(VARIANTS)}")
    ratio = _difflib_ratio if variant == "difflib" else _rapidfuzz_ratio()
    line = first_code_line(prediction)
    return best(lambda one, other: _percent(one, other, ratio) / 100, references, line)


def _percent(one: str, other: str, ratio: _Ratio) -> int:
    if one == other:
        return 100
    return round(ratio(one, other)) if one and other else 0


def _difflib_ratio(one: str, other: str) -> float:
    from difflib import SequenceMatcher

    return 100 * SequenceMatcher(None, one, other).ratio()


def _rapidfuzz_ratio() -> _Ratio:
    try:
        from rapidfuzz import fuzz
    except ImportError:
        raise ValueError("code similarity 'rapidfuzz' needs rapidfuzz – pip install rapidfuzz") from None

    return lambda one, other: float(fuzz.ratio(one, other))
