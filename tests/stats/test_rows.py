"""Figures over rows whose contexts are the units."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hisa_eval.stats.rows import ratio_figure, row_figure


def test_equal_contexts_give_students_interval_of_their_means() -> None:
    values = [0.2, 0.4, 0.5, 0.7, 0.1, 0.3]
    found = row_figure(values, ["a", "a", "b", "b", "c", "c"])
    means = np.array([0.3, 0.6, 0.2])
    half = 4.302653 * means.std(ddof=1) / math.sqrt(3)
    assert found.mean == pytest.approx(means.mean())
    assert found.high == pytest.approx(min(1.0, means.mean() + half), abs=1e-6)
    assert found.low == pytest.approx(max(0.0, means.mean() - half), abs=1e-6)
    assert (found.n_rows, found.n_contexts, found.minimum) == (6, 3, 0.1)


def test_many_rows_of_one_context_give_no_interval() -> None:
    found = row_figure([0.1, 0.9] * 50, ["a"] * 100)
    assert math.isnan(found.low)
    assert math.isnan(found.p5_low)


def test_coverage_with_rows_that_depend_on_their_context() -> None:
    rng = np.random.default_rng(0)
    hits = narrow = 0
    for _ in range(200):
        centres = rng.uniform(0.3, 0.7, 8)
        values = np.clip(np.repeat(centres, 20) + rng.normal(0, 0.02, 160), 0, 1)
        found = row_figure(values, list(np.repeat(np.arange(8), 20)), percentile=False)
        hits += found.low <= 0.5 <= found.high
        narrow += abs(values.mean() - 0.5) < 1.96 * values.std() / math.sqrt(160)
    assert hits >= 180
    assert narrow < 120


def test_the_percentile_lies_in_its_interval() -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(size=400)
    found = row_figure(values, list(np.repeat(np.arange(10), 40)))
    assert found.p5_low <= found.p5 <= found.p5_high
    assert found.p5 == pytest.approx(0.05, abs=0.03)
    assert found.below == pytest.approx(3 / 400, rel=0.01)


def test_values_that_are_not_defined_are_left_out() -> None:
    assert row_figure([math.nan, 0.5], ["a", "b"]).n_rows == 1
    assert row_figure([math.nan], ["a"]).n_rows == 0
    assert math.isnan(row_figure([], []).mean)


def test_a_ratio_weighs_contexts_by_their_counts() -> None:
    found = ratio_figure([1, 30, 0], [2, 40, 0])
    assert found.mean == pytest.approx(31 / 42)
    assert (found.n, found.n_contexts) == (42, 2)
    assert found.low < found.mean < found.high
    assert math.isnan(ratio_figure([3], [4]).low)
