"""From which length on something is faster."""

from __future__ import annotations

import math

import pytest

from hisa_eval.report.break_even import BreakEven, break_even


def test_a_crossing_is_interpolated_in_logarithms() -> None:
    found = break_even([1024, 4096], [0.5, 2.0])
    assert found.between == (1024, 4096)
    assert found.length == pytest.approx(2048)
    found = break_even([1024, 2048], [0.5, 4.0])
    assert found.length == pytest.approx(1024 * 2 ** (1 / 3))


def test_a_crossing_lies_where_a_power_law_crosses() -> None:
    lengths = [4096, 8192, 16384, 32768]
    found = break_even(lengths, [(length / 10_000) ** 0.7 for length in lengths])
    assert found.between == (8192, 16384)
    assert found.length is not None
    assert math.isclose(found.length, 10_000, rel_tol=1e-9)


def test_the_last_crossing_counts() -> None:
    found = break_even([1, 2, 4, 8], [1.5, 0.5, 2.0, 3.0])
    assert found.between == (2, 4)


@pytest.mark.parametrize("ratios", [[0.5, 0.9], [2.0, 0.9], [None, None], [2.0, 1.0], [0.5, None]])
def test_there_is_none_where_the_longest_is_not_faster(ratios: list[float | None]) -> None:
    assert break_even([1024, 2048], ratios) == BreakEven(None)


def test_always_faster_is_not_extrapolated() -> None:
    assert break_even([1024, 2048], [1.1, 2.0]) == BreakEven(None, always=True)
    assert break_even([1024, 2048], [None, 2.0]) == BreakEven(None, always=True)


def test_equal_is_not_faster() -> None:
    found = break_even([1024, 2048], [1.0, 2.0])
    assert found.length == pytest.approx(1024)
