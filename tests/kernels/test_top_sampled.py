"""The sample only says where to look: whatever it says, the best k come out, ties to the lower column."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hisa_kernels.memory import Scratch
from hisa_kernels.reference import top
from hisa_kernels.reference.top_sampled import RUN, STRIDE, marked, sampled_top, worth_sampling

WIDTH, TOPK = 8 * STRIDE + 37, 40
CPU = torch.device("cpu")


def best(row: NDArray[np.float32], count: int) -> list[int]:
    """The slow rule: by value, then by column; −inf and NaN never."""
    allowed = [i for i, value in enumerate(row.tolist()) if value > -np.inf]
    return sorted(sorted(allowed, key=lambda i: (-row[i], i))[:count])


def rows_of(kind: str, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    column = np.arange(WIDTH)
    values = rng.standard_normal((5, WIDTH)).astype(np.float32)
    sampled = (column % STRIDE < RUN) & (column < WIDTH // STRIDE * STRIDE)
    if kind == "ties":
        values = np.round(values * 2) / 2
    elif kind == "equal":
        values[:] = 1.0
    elif kind == "rising":
        values = np.sort(values, axis=1)
    elif kind == "best only in the sample":
        values[:, sampled] += 100
    elif kind == "best never in the sample":
        values[:, ~sampled] += 100
    elif kind == "few visible":
        values[1, TOPK + 3 :] = -np.inf
        values[3, TOPK // 2 :] = -np.inf
    elif kind == "nan":
        values[rng.random(values.shape) < 0.3] = np.nan
    elif kind == "infinite":
        values[rng.random(values.shape) < 0.01] = np.inf
    return np.ascontiguousarray(values)


KINDS = (
    *("normal", "ties", "equal", "rising", "few visible", "nan", "infinite"),
    *("best only in the sample", "best never in the sample"),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_best_columns_come_out(kind: str, seed: int) -> None:
    values = rows_of(kind, seed)
    assert worth_sampling(WIDTH, TOPK)
    wanted = np.minimum(TOPK, (values > -np.inf).sum(1)).astype(np.int64)
    flat, counts = top.top_columns(torch.from_numpy(values.copy()), wanted, TOPK, Scratch(CPU))
    assert counts.tolist() == wanted.tolist()
    parts = np.split(flat.numpy(), np.cumsum(counts.numpy())[:-1])
    for number, (row, part) in enumerate(zip(values, parts, strict=True)):
        assert (part - number * WIDTH).tolist() == best(row, TOPK)


def test_a_bound_that_is_too_high_leaves_too_few() -> None:
    """So the case above is one that the check has to notice."""
    values = rows_of("best only in the sample", 0)
    _, counts = sampled_top(values, TOPK, np.empty(values.shape, np.bool_))
    assert (counts < TOPK).all()


@given(st.lists(st.booleans(), max_size=100))
def test_marked_places(bits: list[bool]) -> None:
    mask = np.array(bits, np.bool_)
    assert marked(mask).tolist() == np.flatnonzero(mask).tolist()
