"""What surrounds HISA's kernels, without a GPU: the kernels are stand-ins, everything else is real."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("tilelang")

import kernel_standins
from kernel_checks import CHECKS
from kernel_examples import real

import hisa_kernels
from hisa_kernels import dispatch
from hisa_kernels.options import BlockOptions
from hisa_kernels.tilelang import candidate_scores, select_blocks, select_hisa

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


def test_what_the_kernels_cannot_do_is_left_to_the_reference() -> None:
    """Budgets that differ by row below the forced number; more tokens than the top-k kernels hold."""
    there = real([(900, 70)], 3, 20, dtype=FP8)
    options = {"block_size": 64, "ratio": 8, "forced": "first_last2", "k_scale": there.k_scale}
    blocks = hisa_kernels.select_blocks(*there.args, num_blocks=None, **options)
    assert bool((blocks[:, 0] == 0).all())
    tokens = hisa_kernels.select_hisa(*there.args, 5000, block_size=64, num_blocks=80, k_scale=there.k_scale)
    assert torch.equal((tokens >= 0).sum(1), there.ends - there.starts)
