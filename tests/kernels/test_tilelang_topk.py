"""The GPU's top-k against a sort, on rows made to break it; flat selection on it against the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from kernel_examples import whole
from torch import Tensor

from hisa_kernels import memory
from hisa_kernels.checks import check_rows
from hisa_kernels.reference import select_flat as reference
from hisa_kernels.rows import Rows
from hisa_kernels.tilelang.select_flat import ALIGNMENT, padded, parts, rows_of, select_flat
from hisa_kernels.tilelang.topk_indices import top_columns, top_tokens

gpu = pytest.mark.gpu

BEYOND = 1 << 40
COLUMN_BITS = 22


def best(scores: Tensor, starts: Tensor, ends: Tensor, k: int, wanted: Tensor | None = None) -> Tensor:
    """Top-k by one sort of 64-bit numbers: the score's rank above, the reversed column below."""
    column = torch.arange(scores.shape[1], device=scores.device)
    there = (column >= starts[:, None]) & (column < ends[:, None]) & (scores > -torch.inf)
    bits = (scores + 0.0).contiguous().view(torch.int32).long()
    rank = torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    unique = torch.where(there, (rank << COLUMN_BITS) - column, torch.iinfo(torch.int64).min)
    held = min(k, scores.shape[1])
    value, index = unique.topk(held, dim=1)
    good = value > torch.iinfo(torch.int64).min
    if wanted is not None:
        good &= torch.arange(held, device=scores.device) < wanted[:, None]
    index = torch.where(good, index, BEYOND).sort(1).values
    out = torch.full((len(scores), k), -1, dtype=torch.int32, device=scores.device)
    out[:, :held] = torch.where(index < BEYOND, index, -1).int()
    return out


def draw(m: int, c: int, seed: int = 0) -> Tensor:
    """Normal random scores."""
    return torch.randn(m, c, device="cuda", generator=torch.Generator("cuda").manual_seed(seed))


def _outlier(m: int, c: int) -> Tensor:
    scores = draw(m, c)
    scores[:, c // 3] = 3e38
    scores[:, c // 2] = torch.inf
    return scores


def _holes(m: int, c: int) -> Tensor:
    scores = draw(m, c)
    scores[draw(m, c, 1) > 0] = torch.nan
    scores[draw(m, c, 2) > 0] = -torch.inf
    return scores


def _clustered(m: int, c: int) -> Tensor:
    scores = draw(m, c)
    scores[:, : c - c // 50] -= 100
    return scores


def _misleading(m: int, c: int) -> Tensor:
    """The sampled columns are the only good ones, or the only bad ones."""
    scores = draw(m, c)
    scores[::2].view(-1, c)[:, torch.arange(c, device="cuda") % 64 < 8] += 50
    scores[1::2].view(-1, c)[:, torch.arange(c, device="cuda") % 64 < 8] -= 50
    return scores


ROWS: dict[str, Callable[[int, int], Tensor]] = {
    "normal": draw,
    "equal": lambda m, c: torch.full((m, c), 0.25, device="cuda"),
    "zeros of both signs": lambda m, c: torch.where(draw(m, c) > 0, 0.0, -0.0),
    "all -inf": lambda m, c: torch.full((m, c), -torch.inf, device="cuda"),
    "all NaN": lambda m, c: torch.full((m, c), torch.nan, device="cuda"),
    "two values": lambda m, c: torch.where(draw(m, c) > 1, 1.0, -3.0),
    "few of the better of two values": lambda m, c: torch.where(draw(m, c) > 3, 1.0, -3.0),
    "denormals": lambda m, c: draw(m, c) * 1e-41,
    "outlier": _outlier,
    "ascending": lambda m, c: draw(m, c).sort(1).values,
    "descending": lambda m, c: draw(m, c).sort(1, descending=True).values,
    "one bucket": lambda m, c: 1 + torch.rand(m, c, device="cuda") * 2e-6,
    "many ties": lambda m, c: (draw(m, c) * 4).round() / 4,
    "holes": _holes,
    "clustered": _clustered,
    "misleading": _misleading,
    "half +inf": lambda m, c: torch.where(draw(m, c) > 0, torch.inf, draw(m, c, 1)),
    "lowest finite": lambda m, c: torch.full((m, c), torch.finfo(torch.float32).min, device="cuda"),
}

SHAPES = [
    (9, 100, 7),
    (5, 512, 64),
    (6, 509, 64),
    (4, 1000, 2048),
    (3, 2048, 64),
    (3, 4096, 4096),
    (3, 8192, 2048),
    (3, 8191, 2048),
    (3, 16384, 2048),
    (2, 65536, 2048),
    (2, 65535, 4096),
    (2, 65536, 1),
    (2, 1 << 20, 2048),
]


@gpu
@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize(("m", "c", "k"), SHAPES)
def test_whole_rows(m: int, c: int, k: int, kind: str, chained: bool) -> None:
    scores = ROWS[kind](m, c)
    starts = torch.zeros(m, dtype=torch.int32, device="cuda")
    ends = torch.full_like(starts, c)
    assert torch.equal(top_columns(scores, starts, ends, k, chained=chained), best(scores, starts, ends, k))


@gpu
@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize(("m", "c", "k"), SHAPES)
def test_what_lies_outside_the_bounds_has_no_say(m: int, c: int, k: int, kind: str) -> None:
    make = torch.Generator("cuda").manual_seed(c)
    starts = torch.randint(0, c, (m,), device="cuda", generator=make).int()
    ends = torch.maximum(starts, torch.randint(0, c + 1, (m,), device="cuda", generator=make).int())
    ends[0] = starts[0]
    wanted = torch.randint(0, k + 1, (m,), device="cuda", generator=make).int()
    scores = ROWS[kind](m, c)
    column = torch.arange(c, device="cuda")
    outside = (column < starts[:, None]) | (column >= ends[:, None])
    for garbage in (torch.nan, torch.inf):
        scores[outside] = garbage
        out = torch.full((m, k), 1 << 30, dtype=torch.int32, device="cuda")
        got = top_columns(scores, starts, ends, k, wanted=wanted, out=out)
        assert torch.equal(got, best(scores, starts, ends, k, wanted))


@gpu
@pytest.mark.parametrize("c", [300, 8000, 30000])
def test_rows_may_lie_further_apart(c: int) -> None:
    starts = torch.zeros(4, dtype=torch.int32, device="cuda")
    ends = torch.full_like(starts, c)
    for gap, first in ((4, 0), (3, 0), (4, 1), (0, 0)):
        scores = draw(4, c + gap + first)[:, first : first + c]
        assert torch.equal(top_columns(scores, starts, ends, 128), best(scores, starts, ends, 128))
    scores = draw(c, 4).T
    assert torch.equal(top_columns(scores, starts, ends, 128), best(scores, starts, ends, 128))


@gpu
@pytest.mark.parametrize("c", [400, 5000, 50000])
def test_a_narrow_range_anywhere(c: int) -> None:
    starts = torch.arange(0, c - 40, 37, dtype=torch.int32, device="cuda")
    ends = starts + 33
    scores = draw(len(starts), c)
    got = top_columns(scores, starts, ends, 16, widest=33, shift=1000)
    want = best(scores, starts, ends, 16)
    assert torch.equal(got, torch.where(want >= 0, want + 1000, -1))


@pytest.mark.parametrize(
    ("width", "block", "k"), [(64, 128, 2048), (20, 16, 64), (5, 128, 64), (200, 128, 4096)]
)
@pytest.mark.parametrize(("m", "chained"), [(40, False), (40, True), (300, True)])
@gpu
def test_tokens_of_blocks(width: int, block: int, k: int, m: int, chained: bool) -> None:
    scores = draw(m, width * block)
    scores[draw(m, width * block, 1) > 1] = -torch.inf
    order = torch.rand(m, 512, device="cuda").argsort(1)[:, :width]
    blocks = order.sort(1).values.int()
    blocks[3, width // 2 :] = -1
    scores[3, width // 2 * block :] = -torch.inf
    starts = torch.randint(0, 1000, (m,), device="cuda").int()
    zero = torch.zeros_like(starts)
    column = best(scores, zero, zero + width * block, k).long()
    number = blocks.gather(1, column.clamp(min=0) // block)
    want = torch.where(column >= 0, starts[:, None] + number * block + column % block, -1)
    assert torch.equal(top_tokens(scores, blocks, starts, block, k, chained=chained), want.int())


@gpu
def test_same_answer_every_time() -> None:
    starts = torch.zeros(64, dtype=torch.int32, device="cuda")
    for c, k in ((500, 64), (8192, 2048), (65536, 2048)):
        scores = (draw(64, c) * 8).round()
        ends = torch.full_like(starts, c)
        first = top_columns(scores, starts, ends, k)
        assert all(torch.equal(first, top_columns(scores, starts, ends, k)) for _ in range(20))


@pytest.mark.parametrize("chained", [False, True])
@gpu
def test_in_a_cuda_graph(chained: bool) -> None:
    starts = torch.zeros(8, dtype=torch.int32, device="cuda")
    for c, k in ((500, 64), (8192, 2048), (65536, 2048)):
        ends = torch.full_like(starts, c)
        scores, out = draw(8, c), torch.empty((8, k), dtype=torch.int32, device="cuda")
        top_columns(scores, starts, ends, k, out=out, chained=chained)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            top_columns(scores, starts, ends, k, out=out, chained=chained)
        for seed in range(3):
            scores.copy_(draw(8, c, seed + 5))
            out.fill_(1 << 30)
            graph.replay()
            assert torch.equal(out, best(scores, starts, ends, k))


@gpu
def test_k_beyond_the_kernels_is_refused() -> None:
    scores, bound = draw(2, 5000), torch.full((2,), 5000, dtype=torch.int32, device="cuda")
    with pytest.raises(ValueError, match="4097"):
        top_columns(scores, bound - 5000, bound, 4097)


SEQUENCES = [[(300, 40)], [(13, 4), (220, 30), (60, 60)], [(3, 3), (1, 1), (190, 3)], [(50, 50)]]


@pytest.mark.parametrize("sequences", SEQUENCES)
@pytest.mark.parametrize("limit", [64, 4096, 1 << 20])
def test_parts_cover_the_rows_within_the_budget(
    sequences: list[tuple[int, int]], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CPU_TEMP_BYTES", limit)
    batch = whole(sequences)
    starts, ends = (bound.numpy().astype(np.int64) for bound in (batch.starts, batch.ends))
    rows = Rows(starts, ends, torch.device("cpu"))
    at = 0
    for part, lo, hi in parts(rows):
        assert part.start == at
        at = part.stop
        assert lo == starts[part].min() // ALIGNMENT * ALIGNMENT
        assert hi == ends[part].max()
        assert part.stop - part.start <= rows_of(padded(hi - lo), rows.device)
    assert at == len(rows)


@gpu
@pytest.mark.parametrize("sequences", SEQUENCES)
@pytest.mark.parametrize("topk", [1, 7, 64])
@pytest.mark.parametrize("limit", [1 << 14, 1 << 28])
def test_flat_selection_equals_the_reference(
    sequences: list[tuple[int, int]], topk: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole numbers that bf16 holds, so that every sum is exact and ties abound."""
    monkeypatch.setattr(memory, "CUDA_TEMP_BYTES", limit)
    batch = whole(sequences, heads=4, dim=32).on(torch.device("cuda"))
    starts, ends = batch.starts.clone(), batch.ends.clone()
    if len(starts) > 5:
        ends[4] = starts[4]
        starts[5] = ends[5] = len(batch.k)
    rows = check_rows(starts, ends, batch.k, len(starts), len(batch.k))
    got = select_flat(batch.q.bfloat16(), batch.k.bfloat16(), batch.weights, rows, topk, k_scale=None)
    want = reference.select_flat(batch.q, batch.k, batch.weights, rows, topk, k_scale=None)
    assert torch.equal(got, want)
