"""Which rows the probe looks at, and how it adds up what it sees."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.fidelity.probe import (
    ROW_STRIDE,
    EvidenceTracker,
    RowFigures,
    compare_rows,
    sample_rows,
    selection_figures,
)
from hisa_eval.indexers.dsa import DsaIndexer
from hisa_eval.indexers.hisa import HisaIndexer


@given(st.integers(0, 10**6), st.integers(1, 5000), st.integers(0, 5))
def test_one_row_in_each_stretch(start: int, length: int, seed: int) -> None:
    rows = sample_rows(start, length, seed)
    assert [row // ROW_STRIDE for row in rows] == list(range(-(-length // ROW_STRIDE)))
    assert rows[-1] < length
    assert rows == sample_rows(start, length, seed)


def test_another_seed_looks_elsewhere() -> None:
    assert sample_rows(0, 4096, 0) != sample_rows(0, 4096, 1)


def inputs(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, 2, 8, generator=generator),
        torch.randn(n, 8, generator=generator),
        torch.randn(n, 2, generator=generator),
    )


def test_hisa_is_dsa_up_to_its_candidate_budget_and_not_beyond() -> None:
    q, k, weights = inputs(200)
    ends = torch.arange(1, 201, dtype=torch.int32)
    hisa = HisaIndexer(block_size=8, num_blocks=4)
    rows = compare_rows(hisa, DsaIndexer(), 16, q, k, weights, ends)
    assert all(row.iou == 1.0 and row.recall == 1.0 for row in rows if row.visible <= 32)
    assert min(row.iou for row in rows if row.visible > 32) < 1.0


def test_figures_split_rows_at_the_exact_range() -> None:
    rows = {0: [RowFigures(10, 1.0, 1.0), RowFigures(50, 0.5, 0.6), RowFigures(60, 0.25, 0.4)]}
    tracker = EvidenceTracker((3, 4))
    tracker.see(0, torch.tensor([[1, 3, -1]]).int())
    tracker.see(0, torch.tensor([[3, 4, 5]]).int())
    layer = selection_figures(rows, {0: RowFigures(61, 0.2, 0.3)}, tracker, 32)["layers"][0]
    assert layer["all"] == pytest.approx(
        {"rows": 3, "iou_sum": 1.75, "iou_min": 0.25, "recall_sum": 2.0, "recall_min": 0.4}
    )
    assert layer["beyond"]["rows"] == 2
    assert layer["iou_values"] == [0.5, 0.25]
    assert layer["evidence"] == 0.75
    assert layer["last_row"] == {"visible": 61, "iou": 0.2, "recall": 0.3}


def test_no_evidence_is_none_and_no_row_beyond_is_said() -> None:
    layer = selection_figures(
        {1: [RowFigures(4, 1.0, 1.0)]}, {1: RowFigures(4, 1.0, 1.0)}, EvidenceTracker(()), 8
    )["layers"][0]
    assert layer["evidence"] is None
    assert layer["beyond"]["rows"] == 0
    assert layer["beyond"]["iou_min"] is None
