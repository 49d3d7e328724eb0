"""Where a row may choose all its blocks, HISA is flat selection, on real numbers and across tiles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from kernel_examples import Batch, real

import hisa_kernels

SIZE, BLOCKS, TOPK = 16, 32, 128
OPTIONS: list[dict[str, Any]] = [
    {"block_size": SIZE, "num_blocks": BLOCKS},
    {"block_size": SIZE, "num_blocks": BLOCKS, "forced": "first_last2", "block_score_dtype": "bf16"},
    {"block_size": SIZE, "num_blocks": BLOCKS, "forced_in_budget": False},
    {"block_size": SIZE, "num_blocks": None, "ratio": 4, "min_blocks": BLOCKS},
]


def batch(dtype: torch.dtype) -> Batch:
    """Three sequences whose rows see 1 to 800 keys, m·B = 512 of them in the middle, shuffled."""
    made = real([(800, 500), (300, 300), (520, 20)], heads=4, dim=32, dtype=dtype)
    order = torch.randperm(len(made.q), generator=torch.Generator().manual_seed(0))
    return Batch(
        made.q.float()[order].to(dtype),
        made.k,
        made.weights[order],
        made.starts[order],
        made.ends[order],
        made.k_scale,
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float8_e4m3fn], ids=str)
def test_rows_that_take_every_block_get_flat_selection(
    options: dict[str, Any], dtype: torch.dtype, device: torch.device
) -> None:
    there = batch(dtype).on(device)
    flat = hisa_kernels.select_flat(*there.args, TOPK, k_scale=there.k_scale)
    hisa = hisa_kernels.select_hisa(*there.args, TOPK, k_scale=there.k_scale, **options)
    takes_all = there.ends - there.starts <= BLOCKS * SIZE
    assert takes_all.any()
    assert not takes_all.all()
    assert torch.equal(hisa[takes_all], flat[takes_all])
    assert not torch.equal(hisa[~takes_all], flat[~takes_all])


def test_few_exact_rows_in_a_large_batch(device: torch.device) -> None:
    """The tile of the exact rows is computed as flat selection computes it, threads and all."""
    there = real([(700, 400)], heads=4, dim=64).on(device)
    options = {"block_size": SIZE, "num_blocks": 19}
    flat = hisa_kernels.select_flat(*there.args, TOPK)
    hisa = hisa_kernels.select_hisa(*there.args, TOPK, **options)
    takes_all = there.ends <= 19 * SIZE
    assert 0 < int(takes_all.sum()) < 8
    assert torch.equal(hisa[takes_all], flat[takes_all])


def test_selection_is_the_same_on_every_run_and_in_inference_mode(device: torch.device) -> None:
    there = batch(torch.float32).on(device)
    there.q.requires_grad_(True)
    options = OPTIONS[0]
    first = hisa_kernels.select_hisa(*there.args, TOPK, **options)
    assert not first.requires_grad
    for _ in range(3):
        assert torch.equal(hisa_kernels.select_hisa(*there.args, TOPK, **options), first)
    with torch.inference_mode():
        assert torch.equal(hisa_kernels.select_hisa(*there.args, TOPK, **options), first)
        same_rows = hisa_kernels.select_block_sparse(*there.args, **options)
    assert torch.equal(same_rows, hisa_kernels.select_block_sparse(*there.args, **options))


def test_threads_of_the_caller_are_left_alone() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            hisa_kernels.select_flat(*batch(torch.float32).args, TOPK)
            assert torch.get_num_threads() == threads
            with ThreadPoolExecutor(1) as later:
                assert later.submit(torch.get_num_threads).result() == threads
    finally:
        torch.set_num_threads(before)


def test_selection_does_not_depend_on_the_number_of_threads() -> None:
    made = batch(torch.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(hisa_kernels.select_hisa(*made.args, TOPK, **OPTIONS[0]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
