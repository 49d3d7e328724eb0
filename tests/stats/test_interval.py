"""Intervals of means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.stats.interval import bootstrap_mean, mean_interval


@pytest.mark.parametrize("n", [30, 200])
def test_bootstrap_standard_error_is_s_over_root_n(n: int) -> None:
    values = np.random.default_rng(7).uniform(size=n)
    expected = values.std(ddof=0) / math.sqrt(n)
    assert bootstrap_mean(values, seed=1).standard_error == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (8, 10, 0.4902, 0.9433), (1, 1, 0.2065, 1.0)],
)
def test_wilson_by_hand(passed: int, n: int, low: float, high: float) -> None:
    found = mean_interval([1.0] * passed + [0.0] * (n - passed))
    assert found.method == "wilson"
    assert found.mean == passed / n
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_no_scores_give_no_number() -> None:
    found = mean_interval([])
    assert found.method == "none"
    assert all(math.isnan(value) for value in found[:3])


@pytest.mark.parametrize("scores", [[0.5], [0.5] * 50, [0.25, 0.75], [1.0, 0.5, 1.0]])
def test_few_or_equal_partial_scores_are_bounded_not_certain(scores: list[float]) -> None:
    found = mean_interval(scores)
    assert found.method == "wilson-bound"
    assert 0 <= found.low < found.mean < found.high <= 1


def test_bound_agrees_with_wilson_where_both_are_defined() -> None:
    exact = mean_interval([1.0, 0.0])
    bound = mean_interval([0.5, 0.5])
    assert (bound.low, bound.high) == pytest.approx((exact.low, exact.high))


def test_bootstrap_is_seeded_and_ignores_order() -> None:
    scores = list(np.random.default_rng(3).uniform(size=40))
    found = mean_interval(scores, seed=5)
    assert found.method == "bootstrap"
    assert mean_interval(scores[::-1], seed=5) == found
    assert mean_interval(scores, seed=6) != found
    assert found.low < found.mean < found.high


def test_bootstrap_covers() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for trial in range(200):
        low, high, _ = bootstrap_mean(rng.beta(5, 2, size=25), seed=trial, n_resamples=999)
        hits += low <= 5 / 7 <= high
    assert 0.88 <= hits / 200 <= 0.99


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_scores_outside_the_unit_interval_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        mean_interval([0.5, bad])


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=9))
def test_interval_holds_the_mean(scores: list[float]) -> None:
    found = mean_interval(scores)
    assert 0 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= 1
