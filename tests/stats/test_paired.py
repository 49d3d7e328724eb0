"""Paired differences."""

from __future__ import annotations

import math

import pytest

from hisa_eval.stats.paired import paired_difference


def test_only_shared_samples_count() -> None:
    found = paired_difference({"a": 1.0, "b": 1.0, "c": 0.0}, {"b": 0.0, "c": 0.0, "d": 1.0})
    assert (found.n_pairs, found.mean, found.better, found.worse) == (2, -0.5, 0, 1)
    assert found.p == 1.0
    assert math.isnan(found.low)


def test_sign_test_by_hand() -> None:
    before = {str(n): 1.0 for n in range(20)}
    after = {str(n): float(n >= 6) for n in range(20)}
    found = paired_difference(before, after)
    assert found.worse == 6
    assert found.p == pytest.approx(2 * 0.5**6)
    assert found.mean == pytest.approx(-0.3)
    assert found.low < found.mean < found.high < 0


def test_equal_methods_differ_by_nothing() -> None:
    scores = {str(n): float(n % 2) for n in range(30)}
    found = paired_difference(scores, scores)
    assert (found.mean, found.p, found.better, found.worse) == (0.0, 1.0, 0, 0)
    assert math.isnan(found.low)


def test_nothing_shared() -> None:
    found = paired_difference({"a": 1.0}, {"b": 1.0})
    assert found.n_pairs == 0
    assert math.isnan(found.mean)
