"""Every operator equals the slow oracle where arithmetic is exact."""

from __future__ import annotations

import pytest
import torch
from kernel_checks import BATCHES, BLOCK_CASES, CHECKS, Check, same
from kernel_examples import whole
from kernel_oracles import Oracle

import hisa_kernels
from hisa_kernels.memory import Scratch
from hisa_kernels.reference import candidate_scores
from hisa_kernels.reference.keys import Keys
from hisa_kernels.reference.top import pack, top_anywhere, top_columns
from hisa_kernels.rows import Rows


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_operator_equals_oracle(check: Check, device: torch.device) -> None:
    check(hisa_kernels, device)


def rows_of(batch, device: torch.device) -> Rows:
    return Rows(batch.starts.numpy().astype("int64"), batch.ends.numpy().astype("int64"), device)


@pytest.mark.parametrize("strategy", ["by_gathering", "by_grouping"])
def test_both_candidate_strategies_equal_oracle(strategy: str) -> None:
    for batch in BATCHES:
        for case in BLOCK_CASES:
            blocks, size = Oracle().select_blocks(*batch.args, **case), case["block_size"]
            out = torch.empty(len(blocks), blocks.shape[1] * size)
            run = getattr(candidate_scores, strategy)
            run(batch.q, batch.weights, Keys(batch.k), rows_of(batch, torch.device("cpu")), blocks, size, out)
            same(out, Oracle().candidate_scores(*batch.args, blocks, size), (strategy, case))


@pytest.mark.parametrize("limit", [1, 5, 40, None])
def test_torch_and_numpy_top_agree(limit: int | None) -> None:
    make = torch.Generator().manual_seed(0)
    scores = torch.randint(-3, 4, (50, 40), generator=make).float()
    scores[scores == -3] = -torch.inf
    scores[3] = torch.nan
    scores[4, ::2] = torch.nan
    scores[5] = torch.inf
    visible = (scores > -torch.inf).sum(1).numpy()
    wanted = (
        visible.clip(max=limit)
        if limit
        else (visible * torch.rand(50, generator=make).numpy()).astype("int64")
    )
    found = []
    for run in (
        lambda s: top_columns(s, wanted, limit, Scratch(s.device)),
        lambda s: top_anywhere(s, wanted, limit),
    ):
        flat, counts = run(scores.clone())
        found.append(pack(flat % 40, counts, 40))
    assert torch.equal(*found)
    assert (found[0][3] == -1).all()


def test_rows_beyond_one_tile_come_out_alike(device: torch.device) -> None:
    """A batch of many tiles, worked on by several threads on a CPU, equals its rows one at a time."""
    batch = whole([(400, 400), (50, 50)], heads=4, dim=8).on(device)
    options = {"block_size": 8, "num_blocks": 10}
    for name, extra in (("select_flat", (24,)), ("select_hisa", (24,)), ("select_block_sparse", ())):
        run = getattr(hisa_kernels, name)
        keywords = {} if name == "select_flat" else options
        together = run(*batch.args, *extra, **keywords)
        for row in (0, 23, 24, 25, 79, 80, 81, 250, 399, 400, 424, 449):
            alone = run(*batch.part(slice(row, row + 1)).args, *extra, **keywords)
            same(alone, together[row : row + 1].cpu(), (name, row))


def test_rows_without_keys_and_batches_without_rows(device: torch.device) -> None:
    batch = whole([(20, 3)]).on(device)
    blind = batch.part(slice(0, 1))
    blind.ends.copy_(blind.starts)
    none = batch.part(slice(0, 0))
    options = {"block_size": 4, "num_blocks": 2}
    for case in (blind, none):
        rows = len(case.q)
        assert (hisa_kernels.select_flat(*case.args, 5) == -1).all()
        assert (hisa_kernels.select_hisa(*case.args, 5, **options) == -1).all()
        assert hisa_kernels.select_hisa(*case.args, 5, **options).shape == (rows, 5)
        assert (hisa_kernels.select_block_sparse(*case.args, **options) == -1).all()
        assert hisa_kernels.block_scores(*case.args, block_size=4).shape == (rows, 0)
        assert (hisa_kernels.index_scores(*case.args) == -torch.inf).all()
        blocks = hisa_kernels.select_blocks(*case.args, **options)
        assert (blocks == -1).all()
        assert (hisa_kernels.candidate_scores(*case.args, blocks, 4) == -torch.inf).all()
    assert hisa_kernels.pool_keys(batch.k[:0], 4).shape == (0, batch.k.shape[1])
