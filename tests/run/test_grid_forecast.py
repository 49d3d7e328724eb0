"""The forecast: operations are counted as the algorithms spend them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.indexers import registry
from hisa_eval.run.forecast import Forecast, capped, prefill_work
from hisa_eval.run.grid import make_grid


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_capped_is_the_sum_over_rows(rows: int, cap: int) -> None:
    exact = sum(min(row, cap) for row in range(1, rows + 1))
    assert capped(rows, cap) == pytest.approx(exact, abs=rows)


@given(st.integers(1, 10**6))
def test_flat_scans_everything_and_hisa_scans_blocks_and_candidates(rows: int) -> None:
    flat = prefill_work(rows, "dsa", {}, 2048)
    hisa = prefill_work(rows, "hisa", {"block_size": 128, "num_blocks": 64, "ratio": None}, 2048)
    blocks = prefill_work(rows, "block-sparse", {"block_size": 128, "num_blocks": None, "ratio": None}, 2048)
    assert hisa.flat == blocks.flat == pytest.approx(flat.flat / 128)
    assert hisa.candidates == capped(rows, 8192)
    assert blocks.candidates == flat.candidates == 0
    assert hisa.attended == flat.attended == blocks.attended == capped(rows, 2048)


def test_the_paper_s_ratio_keeps_a_quarter() -> None:
    work = prefill_work(131072, "hisa", {"block_size": 128, "num_blocks": 64, "ratio": 4.0}, 2048)
    assert work.candidates == capped(131072, 32768)


def test_a_kept_prefix_costs_nothing() -> None:
    indexers = registry.parse_list("dsa,hisa")
    labels = [one.label for one in indexers]
    both = Forecast(make_grid([8192], [0, 100], 1, labels), indexers, 2048, "cpu")
    deep = Forecast(make_grid([8192], [100], 1, labels), indexers, 2048, "cpu")
    middle = Forecast(make_grid([8192], [50, 100], 1, labels), indexers, 2048, "cpu")
    for two, one, half in zip(both.lines(), deep.lines(), middle.lines(), strict=True):
        assert (one.n_samples, two.n_samples) == (1, 2)
        assert two.tokens == 2 * one.tokens
        assert half.tokens == 1.5 * one.tokens
        assert one.seconds < half.seconds < two.seconds


def test_every_device_has_a_speed_and_longer_takes_longer() -> None:
    indexers = registry.parse_list("dsa,hisa,block-sparse")
    grid = make_grid([4096, 131072], [50], 1, [one.label for one in indexers])
    for device in ("cpu", "cuda"):
        lines = Forecast(grid, indexers, 2048, device).lines()
        for short, long in zip(lines[:3], lines[3:], strict=True):
            assert short.indexer == long.indexer
            assert 0 < short.seconds < long.seconds
