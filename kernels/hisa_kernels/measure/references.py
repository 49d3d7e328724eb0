"""The reference operators as contestants: plain PyTorch, any device, no speed of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import torch
from torch import Tensor

from hisa_kernels import (
    candidate_scores,
    index_scores,
    select_blocks,
    select_flat,
    select_hisa,
    sparse_mla,
    topk_indices,
)
from hisa_kernels.measure.attention import AttentionInputs
from hisa_kernels.measure.decode import DecodeInputs
from hisa_kernels.measure.inputs import Inputs
from hisa_kernels.measure.pipeline import Contestant, Stage

MOST_MATRIX = 1 << 30
"""Bytes of a score matrix that the public operators hand out."""


def reference_flat(inputs: Inputs) -> Sequence[Stage]:
    """Plain PyTorch: scores and top-k where the matrix is small enough, else the fused selection."""
    own, case = inputs, inputs.case

    def scores(state: SimpleNamespace) -> None:
        state.scores = index_scores(*own.scoring, k_scale=own.k_scale, backend="reference")

    def choose(state: SimpleNamespace) -> None:
        state.indices = topk_indices(state.scores, own.starts, own.ends, case.topk, backend="reference")

    def select(state: SimpleNamespace) -> None:
        state.indices = select_flat(
            *own.scoring,
            case.topk,
            k_scale=own.k_scale,
            backend="reference",
        )

    if 4 * case.queries * case.context > MOST_MATRIX:
        return [Stage("select", select)]
    return [Stage("scores", scores), Stage("top-k", choose)]


def reference_hisa(inputs: Inputs) -> Sequence[Stage]:
    """Plain PyTorch: blocks, their tokens' scores, the best of them; fused where nothing is pruned."""
    own, case = inputs, inputs.case

    def select(state: SimpleNamespace) -> None:
        state.indices = select_hisa(
            *own.scoring,
            case.topk,
            block_size=case.block_size,
            num_blocks=case.num_blocks,
            k_scale=own.k_scale,
            backend="reference",
        )

    def blocks(state: SimpleNamespace) -> None:
        state.blocks = select_blocks(
            *own.scoring,
            block_size=case.block_size,
            num_blocks=case.num_blocks,
            k_scale=own.k_scale,
            backend="reference",
        )

    def refine(state: SimpleNamespace) -> None:
        state.scores = candidate_scores(
            *own.scoring,
            state.blocks,
            case.block_size,
            k_scale=own.k_scale,
            backend="reference",
        )

    def choose(state: SimpleNamespace) -> None:
        size = case.block_size
        best = torch.topk(state.scores, min(case.topk, state.scores.shape[1]), dim=1)
        block = state.blocks.long().gather(1, best.indices // size)
        found = block * size + best.indices % size + own.starts.long()[:, None]
        state.indices = found.masked_fill(best.values == -torch.inf, -1).int()

    if not case.prunes or 4 * case.queries * case.most_blocks * case.block_size > MOST_MATRIX:
        return [Stage("select", select)]
    return [Stage("blocks", blocks), Stage("refine", refine), Stage("tokens", choose)]


def reference_attention(inputs: AttentionInputs) -> Sequence[Stage]:
    """Plain PyTorch attention over the chosen latents."""
    return attention_stages(inputs, functools.partial(sparse_mla, backend="reference"))


def attention_stages(inputs: AttentionInputs, attend: Callable[..., Tensor]) -> Sequence[Stage]:
    """Attention by some function as the one stage of a pipeline."""

    def run(state: SimpleNamespace) -> None:
        state.out = attend(
            inputs.q, inputs.kv, inputs.indices, scale=inputs.scale, value_dim=inputs.value_dim
        )

    return [Stage("attention", run)]


def reference_decode_flat(inputs: DecodeInputs) -> Sequence[Stage]:
    """Plain PyTorch over the sequences as one packed batch."""
    return _decode(inputs, select_flat, {})


def reference_decode_hisa(inputs: DecodeInputs) -> Sequence[Stage]:
    """The same with blocks."""
    case = inputs.case
    return _decode(inputs, select_hisa, {"block_size": case.block_size, "num_blocks": case.most_blocks})


def _decode(inputs: DecodeInputs, select: Callable[..., Tensor], budget: dict[str, int]) -> Sequence[Stage]:
    batch, n, dim = inputs.k.shape
    starts = torch.arange(batch, dtype=torch.int32, device=inputs.k.device) * n
    packed = (inputs.q, inputs.k.view(-1, dim), inputs.weights, starts, starts + inputs.lengths)

    def run(state: SimpleNamespace) -> None:
        found = select(
            *packed, inputs.case.topk, k_scale=inputs.k_scale.view(-1), backend="reference", **budget
        )
        state.indices = torch.where(found < 0, found, found - starts[:, None])

    return [Stage("select", run)]


def reference() -> list[Contestant]:
    """The reference operators, flat and HISA; for small shapes and machines without a GPU."""
    return [
        Contestant("reference flat", "flat", reference_flat),
        Contestant("reference HISA", "hisa", reference_hisa),
        Contestant("reference sparse MLA", "attention", reference_attention),
        Contestant("reference decode flat", "decode flat", reference_decode_flat),
        Contestant("reference decode HISA", "decode hisa", reference_decode_hisa),
    ]
