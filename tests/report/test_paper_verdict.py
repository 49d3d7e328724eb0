"""The rules that turn numbers into words."""

from __future__ import annotations

import math

import pytest

from hisa_eval.paper.verdict import MARGIN, Verdict, above, all_of, better, close, near

NAN = math.nan


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.04, 0.02, Verdict.AGREES),
        (-MARGIN, MARGIN, Verdict.AGREES),
        (-0.20, -0.06, Verdict.DIFFERS),
        (0.06, 0.30, Verdict.DIFFERS),
        (-0.10, -0.01, Verdict.OPEN),
        (-0.30, 0.30, Verdict.OPEN),
        (NAN, NAN, Verdict.OPEN),
    ],
)
def test_close_needs_the_whole_interval(low: float, high: float, verdict: Verdict) -> None:
    assert close(low, high)[0] is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.2, Verdict.AGREES),
        (-0.2, -0.01, Verdict.DIFFERS),
        (-0.01, 0.2, Verdict.OPEN),
        (0.0, 0.2, Verdict.OPEN),
        (NAN, NAN, Verdict.OPEN),
    ],
)
def test_better_needs_an_interval_above_nothing(low: float, high: float, verdict: Verdict) -> None:
    assert better(low, high)[0] is verdict


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        (3.75, Verdict.AGREES, "within 25%"),
        (4.68, Verdict.AGREES, "within 25%"),
        (4.80, Verdict.DIFFERS, "28% above"),
        (1.50, Verdict.DIFFERS, "60% below"),
    ],
)
def test_a_speedup_is_held_against_the_papers(found: float, verdict: Verdict, words: str) -> None:
    said, why = near(found, 3.75)
    assert said is verdict
    assert words in why


@pytest.mark.parametrize(
    ("low", "high", "mean", "verdict"),
    [
        (0.992, 0.998, 0.995, Verdict.AGREES),
        (0.90, 0.95, 0.93, Verdict.DIFFERS),
        (0.98, 0.999, 0.991, Verdict.OPEN),
        (NAN, NAN, 0.995, Verdict.OPEN),
        (NAN, NAN, 1.0, Verdict.AGREES),
    ],
)
def test_a_mean_lies_above_only_with_its_interval(
    low: float, high: float, mean: float, verdict: Verdict
) -> None:
    assert above(low, high, mean, 0.99)[0] is verdict


def test_one_layer_that_differs_decides() -> None:
    assert all_of([Verdict.AGREES, Verdict.OPEN, Verdict.DIFFERS]) is Verdict.DIFFERS
    assert all_of([Verdict.AGREES, Verdict.OPEN]) is Verdict.OPEN
    assert all_of([Verdict.AGREES]) is Verdict.AGREES
    assert all_of([]) is Verdict.MISSING
