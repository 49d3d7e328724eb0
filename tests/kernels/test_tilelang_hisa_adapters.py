"""What surrounds HISA's kernels, without a GPU: the kernels are stand-ins, everything else is real."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("tilelang")

import kernel_standins
from kernel_checks import CHECKS
from kernel_examples import real

import hisa_kernels
from hisa_kernels import dispatch
from hisa_kernels.newest import NewestBlockSparse, NewestHisa
from hisa_kernels.options import BlockOptions
from hisa_kernels.reference import newest as reference_newest
from hisa_kernels.tilelang import candidate_scores, select_blocks, select_hisa
from hisa_kernels.tilelang import newest as newest_kernels

OPERATORS = ("select_blocks", "candidate_scores", "select_hisa", "select_block_sparse")
FP8 = torch.float8_e4m3fn


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public operators lead to HISA's adapters, and these to stand-ins."""
    kernel_standins.install(monkeypatch)
    for name in OPERATORS:
        monkeypatch.setitem(dispatch.REFERENCE, name, f"hisa_kernels.tilelang.{name}:{name}")


@pytest.mark.parametrize("limit", [1 << 28, 3000], ids=["whole", "chunks"])
@pytest.mark.parametrize("fewest", [64, 1], ids=["by-rows", "by-blocks"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_equal_to_the_oracle(operator: str, fewest: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_blocks, "CUDA_TEMP_BYTES", limit)
    monkeypatch.setattr(candidate_scores, "FEWEST_ROWS", fewest)
    monkeypatch.setattr(candidate_scores, "BLOCKS", (1, 2, 3, 4, 8))
    monkeypatch.setattr(select_hisa, "BLOCKS", (1, 2, 3, 4, 8))
    CHECKS[operator](hisa_kernels, torch.device("cpu"))


def test_cache_changes_nothing() -> None:
    there = real([(700, 70)], 3, 20, dtype=FP8)
    options = {"block_size": 64, "num_blocks": 5, "k_scale": there.k_scale}
    cache = hisa_kernels.PooledKeyCache(64)
    wanted = hisa_kernels.select_hisa(*there.args, 300, **options)
    for _ in range(2):
        assert torch.equal(hisa_kernels.select_hisa(*there.args, 300, cache=cache, **options), wanted)
    mixed = (there.q.to(torch.bfloat16), *there.args[1:])
    assert torch.equal(hisa_kernels.select_hisa(*mixed, 300, **options), wanted)


@pytest.mark.parametrize("rows", [80, 3])
def test_stages_give_what_one_call_gives(rows: int) -> None:
    there = real([(900, rows)], 8, 32, dtype=FP8)
    given = (*there.args, 300, BlockOptions(64, 5))
    wanted = hisa_kernels.select_hisa(*there.args, 300, block_size=64, num_blocks=5, k_scale=there.k_scale)
    assert torch.equal(select_hisa.select_hisa_on_device(*given, k_scale=there.k_scale), wanted)
    out = torch.zeros_like(wanted)
    stages = select_hisa.hisa_stages(*given, k_scale=there.k_scale, out=out)
    for _ in range(2):
        out.zero_()
        for _, stage in stages:
            stage()
        assert torch.equal(out, wanted)


@pytest.mark.parametrize(
    "settings",
    [
        {"block_size": 16, "num_blocks": 8},
        {"block_size": 16, "num_blocks": 8, "forced": "first", "pooling": "max"},
        {"block_size": 16, "num_blocks": 8, "forced": "first_last2", "forced_in_budget": False},
    ],
)
@pytest.mark.parametrize("length", [1, 50, 127, 128, 129, 300])
def test_newest_row_of_the_operators(
    settings: dict[str, Any], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapters for one row are taken where those for many rows are, and give what they give."""

    def select_all(q: Any, k: Any, weights: Any, starts: Any, ends: Any, topk: int) -> torch.Tensor:
        assert not starts.any()
        return reference_newest.flat(q, k, weights, ends, topk)

    monkeypatch.setattr(newest_kernels, "select_all", select_all)
    there = real([(400, 400)], 3, 20, dtype=torch.float32)
    buffer = torch.full_like(there.k, torch.nan)
    buffer[:length] = there.k[:length]
    row, end = slice(length - 1, length), torch.tensor([length], dtype=torch.int32)
    k, start = there.k[:length], torch.zeros_like(end)
    options = BlockOptions(**settings)
    for made, operator, budget in (
        (NewestHisa(buffer, 3, 100, options), hisa_kernels.select_hisa, {"topk": 100}),
        (NewestBlockSparse(buffer, 3, 100, options), hisa_kernels.select_block_sparse, {}),
    ):
        assert made._run is newest_kernels
        made.begin(length - 1)
        chosen = made.select(there.q[row], there.weights[row], end)
        wanted = operator(there.q[row], k, there.weights[row], start, end, **budget, **settings)
        assert torch.equal(chosen, wanted)


def test_what_the_kernels_cannot_do_is_left_to_the_reference() -> None:
    """Budgets that differ by row below the forced number; more tokens than the top-k kernels hold."""
    there = real([(900, 70)], 3, 20, dtype=FP8)
    options = {"block_size": 64, "ratio": 8, "forced": "first_last2", "k_scale": there.k_scale}
    blocks = hisa_kernels.select_blocks(*there.args, num_blocks=None, **options)
    assert bool((blocks[:, 0] == 0).all())
    tokens = hisa_kernels.select_hisa(*there.args, 5000, block_size=64, num_blocks=80, k_scale=there.k_scale)
    assert torch.equal((tokens >= 0).sum(1), there.ends - there.starts)
