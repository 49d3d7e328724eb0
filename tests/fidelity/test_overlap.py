"""Overlap of selections against Python sets."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.fidelity.overlap import overlap

ROWS = st.lists(st.tuples(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40))), min_size=1, max_size=5)


def padded(rows: list[set[int]], extra: int) -> torch.Tensor:
    width = max(len(row) for row in rows) + extra
    return torch.tensor([sorted(row) + [-1] * (width - len(row)) for row in rows], dtype=torch.int32)


@given(ROWS, st.integers(0, 3), st.integers(0, 3))
def test_overlap_is_that_of_the_sets(rows: list[tuple[set[int], set[int]]], left: int, right: int) -> None:
    mine, theirs = [a for a, _ in rows], [b for _, b in rows]
    found = overlap(padded(mine, left), padded(theirs, right))
    for row, (a, b) in enumerate(rows):
        assert found.iou[row].item() == pytest.approx(len(a & b) / len(a | b) if a | b else 1.0)
        assert found.recall[row].item() == pytest.approx(len(a & b) / len(b) if b else 1.0)


@given(ROWS)
def test_iou_is_symmetric_and_bounded(rows: list[tuple[set[int], set[int]]]) -> None:
    mine, theirs = padded([a for a, _ in rows], 1), padded([b for _, b in rows], 1)
    there, back = overlap(mine, theirs).iou, overlap(theirs, mine).iou
    assert torch.equal(there, back)
    assert ((there >= 0) & (there <= 1)).all()


def test_recall_and_iou_of_equal_sizes_agree() -> None:
    found = overlap(torch.tensor([[0, 1, 2, 3]]).int(), torch.tensor([[2, 3, 4, 5]]).int())
    recall, iou = found.recall.item(), found.iou.item()
    assert iou == pytest.approx(recall / (2 - recall))


def test_row_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="2 and 1 rows"):
        overlap(torch.zeros(2, 1).int(), torch.zeros(1, 1).int())
