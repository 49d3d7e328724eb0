"""One check an operator, strict enough to tell right from each known mistake.

A check takes an implementation (anything with the operators' public names) and compares it with the oracle
on whole-number inputs, where equal means equal.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from kernel_examples import Batch, whole
from kernel_oracles import Oracle
from torch import Tensor

Check = Callable[[Any, torch.device], None]

BATCHES = [
    whole([(29, 6)], seed=1),
    whole([(13, 4), (22, 4)], seed=2),
    whole([(3, 3), (1, 1), (19, 3)], seed=3),
    whole([(41, 1)], seed=4),
    whole([(24, 2)], seed=5, flat=True),
]
BLOCK_CASES: list[dict[str, Any]] = [
    {"block_size": 4, "num_blocks": 3},
    {"block_size": 4, "num_blocks": 3, "forced": "none"},
    {"block_size": 4, "num_blocks": 3, "forced": "none", "pooling": "max"},
    {"block_size": 4, "num_blocks": 3, "forced": "first"},
    {"block_size": 4, "num_blocks": 4, "forced": "first_last2"},
    {"block_size": 4, "num_blocks": 2, "forced": "first_last2"},
    {"block_size": 4, "num_blocks": 1, "forced": "first_last"},
    {"block_size": 3, "num_blocks": 3, "forced": "first_last2", "forced_in_budget": False},
    {"block_size": 3, "num_blocks": 2, "forced": "first_last", "forced_in_budget": False},
    {"block_size": 2, "num_blocks": 5, "forced": "none", "block_score_dtype": "bf16"},
    {"block_size": 2, "num_blocks": None, "ratio": 4, "forced": "none"},
    {"block_size": 2, "num_blocks": None, "ratio": 2.5, "min_blocks": 3},
    {"block_size": 1, "num_blocks": 6},
    {"block_size": 8, "num_blocks": 64},
]


def same(got: Tensor, want: Tensor, what: object) -> None:
    """Equal in shape and in every value, whatever the dtype and device."""
    assert got.shape == want.shape, (what, got.shape, want.shape)
    differ = got.double().cpu() != want.double().cpu()
    assert not differ.any(), (what, differ.nonzero()[:5].tolist(), got.cpu()[differ][:5], want[differ][:5])


def on(batch: Batch, device: torch.device) -> tuple[Tensor, ...]:
    return batch.on(device).args


def check_index_scores(impl: Any, device: torch.device) -> None:
    for batch in BATCHES:
        same(impl.index_scores(*on(batch, device)), Oracle().index_scores(*batch.args), "index_scores")


def check_topk_indices(impl: Any, device: torch.device) -> None:
    for seed, topk in product(range(3), (1, 4, 7, 50)):
        make = torch.Generator().manual_seed(seed)
        scores = torch.randint(-2, 3, (12, 40), generator=make).float()
        starts = torch.randint(0, 20, (12,), generator=make, dtype=torch.int32)
        ends = (starts + torch.randint(0, 21, (12,), generator=make)).int()
        got = impl.topk_indices(scores.to(device), starts.to(device), ends.to(device), topk)
        same(got, Oracle().topk_indices(scores, starts, ends, topk), ("topk_indices", seed, topk))


def check_select_flat(impl: Any, device: torch.device) -> None:
    for batch, topk in product(BATCHES, (1, 5, 16, 64)):
        got = impl.select_flat(*on(batch, device), topk)
        same(got, Oracle().select_flat(*batch.args, topk), ("select_flat", topk))


def check_pool_keys(impl: Any, device: torch.device) -> None:
    for batch, block_size, pooling in product(BATCHES, (1, 3, 4, 8), ("mean", "max")):
        got = impl.pool_keys(batch.k.to(device), block_size, pooling=pooling)
        same(got, Oracle().pool_keys(batch.k, block_size, pooling=pooling), ("pool_keys", block_size))


def check_block_scores(impl: Any, device: torch.device) -> None:
    for batch, block_size, pooling in product(BATCHES, (1, 3, 4, 8), ("mean", "max")):
        got = impl.block_scores(*on(batch, device), block_size=block_size, pooling=pooling)
        want = Oracle().block_scores(*batch.args, block_size=block_size, pooling=pooling)
        same(got, want, ("block_scores", block_size, pooling))


def check_select_blocks(impl: Any, device: torch.device) -> None:
    for batch, case in product(BATCHES, BLOCK_CASES):
        got = impl.select_blocks(*on(batch, device), **case)
        same(got, Oracle().select_blocks(*batch.args, **case), case)


def check_candidate_scores(impl: Any, device: torch.device) -> None:
    for batch, case in product(BATCHES, BLOCK_CASES):
        blocks, size = Oracle().select_blocks(*batch.args, **case), case["block_size"]
        got = impl.candidate_scores(*on(batch, device), blocks.to(device), size)
        same(got, Oracle().candidate_scores(*batch.args, blocks, size), case)


def check_select_hisa(impl: Any, device: torch.device) -> None:
    for batch, case in product(BATCHES, BLOCK_CASES):
        topk = min(6, case["block_size"] * (case["num_blocks"] or 64))
        got = impl.select_hisa(*on(batch, device), topk, **case)
        same(got, Oracle().select_hisa(*batch.args, topk, **case), case)


def check_select_block_sparse(impl: Any, device: torch.device) -> None:
    for batch, case in product(BATCHES, BLOCK_CASES):
        got = impl.select_block_sparse(*on(batch, device), **case)
        same(got, Oracle().select_block_sparse(*batch.args, **case), case)


CHECKS: dict[str, Check] = {
    name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")
}
