"""HISA's kernels on a GPU against the reference operators."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_examples import Batch, real
from torch import Tensor

pytest.importorskip("tilelang")

from hisa_kernels.checks import check_rows
from hisa_kernels.options import BlockOptions
from hisa_kernels.reference import candidate_scores as reference_candidates
from hisa_kernels.reference import select_block_sparse as reference_block_sparse
from hisa_kernels.reference import select_blocks as reference_blocks
from hisa_kernels.reference import select_hisa as reference_hisa
from hisa_kernels.rows import Rows
from hisa_kernels.tilelang import (
    block_choice,
    candidate_scores,
    select_block_sparse,
    select_blocks,
    select_flat,
    select_hisa,
)

pytestmark = pytest.mark.gpu

FP8, BF16 = torch.float8_e4m3fn, torch.bfloat16
ONE = [(3000, 150)]
PACKED = [(700, 100), (37, 20), (5, 5), (2049, 90), (1, 1)]
SINGLE = [(1000, 1)]
SHAPES = [
    (64, 128, 128, FP8),
    (64, 128, 128, BF16),
    (8, 64, 64, BF16),
    (3, 20, 64, FP8),
    (4, 32, 64, BF16),
    (16, 128, 64, FP8),
    (32, 64, 128, FP8),
    (64, 128, 16, FP8),
    (8, 64, 256, BF16),
    (8, 64, 48, FP8),
]
OPTIONS: list[dict[str, Any]] = [
    {"block_size": 64, "num_blocks": 8},
    {"block_size": 64, "num_blocks": 8, "forced": "first_last2", "block_score_dtype": "bf16"},
    {"block_size": 64, "num_blocks": 8, "forced": "none"},
    {"block_size": 64, "num_blocks": 8, "forced": "first"},
    {"block_size": 64, "num_blocks": 8, "forced_in_budget": False},
    {"block_size": 64, "num_blocks": 8, "forced": "first_last2", "forced_in_budget": False},
    {"block_size": 64, "num_blocks": None, "ratio": 4, "min_blocks": 4},
    {"block_size": 32, "num_blocks": 16, "pooling": "max"},
    {"block_size": 128, "num_blocks": 4},
]


@pytest.fixture(scope="module")
def device() -> torch.device:
    """The GPU."""
    if not torch.cuda.is_available():
        pytest.fail("this test needs a CUDA device: run it on a GPU machine, or drop -m gpu")
    return torch.device("cuda")


def rows_of(batch: Batch) -> Rows:
    """The geometry of a batch."""
    return check_rows(batch.starts, batch.ends, batch.k, len(batch.q), len(batch.k))


def shuffled(batch: Batch) -> Batch:
    """The same rows in another order."""
    order = torch.randperm(len(batch.q), generator=torch.Generator().manual_seed(1)).to(batch.q.device)
    q = batch.q.view(torch.uint8) if batch.q.dtype == FP8 else batch.q
    return Batch(
        q[order].view(batch.q.dtype),
        batch.k,
        batch.weights[order],
        batch.starts[order],
        batch.ends[order],
        batch.k_scale,
    )


def some_blocks(batch: Batch, width: int, block_size: int) -> Tensor:
    """Random blocks of each row, the first and the last among them; a hole in some rows."""
    make = torch.Generator().manual_seed(2)
    out = torch.full((len(batch.q), width), -1, dtype=torch.int32)
    for row, (start, end) in enumerate(zip(batch.starts.tolist(), batch.ends.tolist(), strict=True)):
        seen = -(-(end - start) // block_size)
        chosen = set(torch.randperm(seen, generator=make)[: width - 2].tolist()) if seen else set()
        chosen |= {0, seen - 1} if seen else set()
        numbers = torch.tensor(sorted(chosen)[:width], dtype=torch.int32)
        out[row, : len(numbers)] = numbers
    out[::5, 1] = -1
    return out.to(batch.q.device)


def close(got: Tensor, wanted: Tensor) -> None:
    """Equal −inf, and scores within the rounding of tensor cores, whose FP8 sums keep some 14 bits."""
    hidden = torch.isinf(wanted)
    assert torch.equal(torch.isinf(got), hidden)
    assert not torch.isnan(got).any()
    spread = wanted[~hidden].std() if int((~hidden).sum()) > 1 else wanted[~hidden].abs().max()
    assert float((got - wanted)[~hidden].abs().max()) <= 5e-3 * float(spread)


@pytest.mark.parametrize("sequences", [ONE, PACKED, SINGLE], ids=["one", "packed", "single"])
@pytest.mark.parametrize(("heads", "dim", "block_size", "dtype"), SHAPES, ids=str)
def test_candidate_scores(
    heads: int,
    dim: int,
    block_size: int,
    dtype: torch.dtype,
    sequences: list[tuple[int, int]],
    device: torch.device,
) -> None:
    batch = shuffled(real(sequences, heads, dim, dtype=dtype).on(device))
    rows, blocks = rows_of(batch), some_blocks(batch, 7, block_size)
    wanted = reference_candidates.candidate_scores(
        batch.q, batch.k, batch.weights, rows, blocks, block_size, k_scale=batch.k_scale
    )
    given = (batch.q, batch.k, batch.weights, rows, blocks, block_size)
    close(candidate_scores.candidate_scores(*given, k_scale=batch.k_scale), wanted)
    q, k, weights = candidate_scores.widened(batch.q, batch.k, batch.weights)
    out = torch.full_like(wanted, torch.nan)
    operands = (q, k, weights, batch.starts, batch.ends, blocks, block_size, batch.k_scale, out)
    candidate_scores.by_rows(*operands)
    close(out, wanted)
    if block_size in candidate_scores.BLOCKS:
        out.fill_(torch.nan)
        candidate_scores.by_blocks(*operands, sequences is not PACKED)
        close(out, wanted)


def test_popular_and_lonely_blocks(device: torch.device) -> None:
    """One block that every row chooses, one row that chooses alone, empty rows, no row at all."""
    batch = real([(4096, 700)], 64, 128, dtype=FP8).on(device)
    batch = Batch(batch.q, batch.k, batch.weights, batch.starts, batch.ends.clone(), batch.k_scale)
    batch.ends[3] = 0
    blocks = torch.full((700, 4), -1, dtype=torch.int32, device=device)
    blocks[:, 0] = 0
    blocks[5, 1] = 7
    blocks[3] = -1
    rows = rows_of(batch)
    given = (batch.q, batch.k, batch.weights, rows, blocks, 128)
    wanted = reference_candidates.candidate_scores(*given, k_scale=batch.k_scale)
    close(candidate_scores.candidate_scores(*given, k_scale=batch.k_scale), wanted)
    none = real([(50, 0)], 64, 128, dtype=FP8).on(device)
    got = candidate_scores.candidate_scores(
        none.q, none.k, none.weights, rows_of(none), blocks[:0], 128, k_scale=none.k_scale
    )
    assert got.shape == (0, 512)


def test_forced_blocks_come_on_top(device: torch.device) -> None:
    make = torch.Generator().manual_seed(0)
    n_blocks = torch.cat([torch.arange(6), torch.full((60,), 90)]).to(torch.int32)
    width = 40
    chosen = torch.full((66, width), -1, dtype=torch.int32)
    for row, seen in enumerate(n_blocks.tolist()):
        some = torch.randperm(seen, generator=make)[: min(seen, width)].sort().values
        chosen[row, : len(some)] = some.int()
    for kinds in (1, 2, 3):
        out = torch.full((66, width + kinds), 1 << 30, dtype=torch.int32, device=device)
        block_choice.add_forced(kinds=kinds)(chosen.to(device), n_blocks.to(device), out)
        for row, seen in enumerate(n_blocks.tolist()):
            forced = {b for b in (0, seen - 1, seen - 2)[:kinds] if 0 <= b < seen}
            wanted = sorted(set(chosen[row][chosen[row] >= 0].tolist()) | forced)
            assert out[row].tolist() == wanted + [-1] * (width + kinds - len(wanted))


def overlap(got: Tensor, wanted: Tensor) -> float:
    """Share of the wanted places that are among those got, over all rows."""
    found = total = 0
    for a, b in zip(got.tolist(), wanted.tolist(), strict=True):
        there = {x for x in b if x >= 0}
        found += len(there & set(a))
        total += len(there)
    return found / max(total, 1)


def lawful(got: Tensor, batch: Batch) -> None:
    """Ascending, distinct, visible, −1 at the end."""
    filled = got >= 0
    assert bool((filled[:, 1:] <= filled[:, :-1]).all())
    assert bool((~filled[:, 1:] | (got[:, 1:] > got[:, :-1])).all())
    assert bool((~filled | ((got >= batch.starts[:, None]) & (got < batch.ends[:, None]))).all())


@pytest.mark.parametrize("sequences", [ONE, PACKED, SINGLE], ids=["one", "packed", "single"])
@pytest.mark.parametrize("case", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [FP8, BF16], ids=str)
def test_pipelines(
    dtype: torch.dtype, case: dict[str, Any], sequences: list[tuple[int, int]], device: torch.device
) -> None:
    batch = shuffled(real(sequences, 8, 64, dtype=dtype).on(device))
    rows, topk = rows_of(batch), 200
    options = BlockOptions(**case)
    given = (batch.q, batch.k, batch.weights, rows)
    kind: dict[str, Any] = {"k_scale": batch.k_scale, "cache": None}

    blocks = select_blocks.select_blocks(*given, options, **kind)
    wanted = reference_blocks.select_blocks(*given, options, **kind)
    assert blocks.shape == wanted.shape
    assert torch.equal((blocks >= 0).sum(1), (wanted >= 0).sum(1)) or not options.forced_in_budget
    assert overlap(blocks, wanted) >= 0.99

    tokens = select_block_sparse.select_block_sparse(*given, options, **kind)
    assert torch.equal(tokens, reference_block_sparse.tokens_of(blocks, rows, options.block_size))

    options = options.feasible_for(topk)
    got = select_hisa.select_hisa(*given, topk, options, **kind)
    lawful(got, batch)
    wanted = reference_hisa.select_hisa(*given, topk, options, **kind)
    assert torch.equal((got >= 0).sum(1), (wanted >= 0).sum(1))
    assert overlap(got, wanted) >= 0.99

    flat = select_flat.select_flat(*given, topk, k_scale=batch.k_scale)
    seen = rows.blocks(options.block_size)
    takes_all = torch.from_numpy(seen <= options.budget(seen)).to(device)
    assert torch.equal(got[takes_all], flat[takes_all])


def test_selection_repeats(device: torch.device) -> None:
    batch = real([(9000, 300)], 16, 128, dtype=FP8).on(device)
    options = BlockOptions(128, 16)
    given = (batch.q, batch.k, batch.weights, batch.starts, batch.ends, 1024, options)
    first = select_hisa.select_hisa_on_device(*given, k_scale=batch.k_scale)
    lawful(first, batch)
    for _ in range(20):
        assert torch.equal(select_hisa.select_hisa_on_device(*given, k_scale=batch.k_scale), first)


def test_stages_and_graph(device: torch.device) -> None:
    """The stages one by one, and a captured graph, give what one call gives."""
    for rows in (200, 3):
        batch = real([(9000, rows)], 16, 128, dtype=FP8).on(device)
        options = BlockOptions(128, 16)
        given = (batch.q, batch.k, batch.weights, batch.starts, batch.ends, 1024, options)
        wanted = select_hisa.select_hisa_on_device(*given, k_scale=batch.k_scale)
        out = torch.full_like(wanted, 1 << 30)
        for _, stage in select_hisa.hisa_stages(*given, k_scale=batch.k_scale, out=out):
            stage()
        assert torch.equal(out, wanted)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            select_hisa.select_hisa_on_device(*given, k_scale=batch.k_scale, out=out)
        out.fill_(1 << 30)
        graph.replay()
        assert torch.equal(out, wanted)
