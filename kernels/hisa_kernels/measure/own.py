"""Our kernels as contestants: device-level functions, stage by stage, loaded when they are needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from hisa_kernels.beside import Beside
from hisa_kernels.measure.attention import AttentionInputs
from hisa_kernels.measure.decode import PAGE, DecodeInputs
from hisa_kernels.measure.inputs import Inputs
from hisa_kernels.measure.pipeline import Contestant, Stage, Unavailable
from hisa_kernels.measure.references import attention_stages
from hisa_kernels.options import FORCED, BlockOptions

MOST_KERNEL_MATRIX = 4 << 30
"""Bytes of a score matrix that is timed in one piece."""


def _load(module: str, name: str) -> Callable[..., Any]:
    """A device-level function of the kernels.

    Raises:
        Unavailable: TileLang is not installed, or this version has no such kernel.
    """
    try:
        return getattr(importlib.import_module(f"hisa_kernels.tilelang.{module}"), name)
    except (ImportError, AttributeError) as error:
        raise Unavailable(f"no kernel {module}.{name}: {error}") from None


def _check_kernels(inputs: Any) -> None:
    if inputs.q.device.type != "cuda":
        raise Unavailable("needs a GPU")
    if inputs.case.dtype == "f32":
        raise Unavailable("takes FP8 and bf16 only")


def bounded_topk(inputs: Any) -> Callable[[SimpleNamespace], None]:
    """Our top-k as a stage behind anybody's scores."""
    _check_kernels(inputs)
    choose = _load("topk_indices", "top_columns")
    case, starts, ends = inputs.case, inputs.starts, inputs.ends

    def run(state: SimpleNamespace) -> None:
        state.indices = choose(state.scores, starts, ends, case.topk, widest=case.context)

    return run


def kernel_flat(inputs: Inputs) -> Sequence[Stage]:
    """Scores of all keys as one matrix, then the best of each row."""
    _check_kernels(inputs)
    score = _load("index_scores", "flat_scores")
    own, case = inputs, inputs.case
    if 4 * case.queries * case.context > MOST_KERNEL_MATRIX:
        raise Unavailable("the score matrix is larger than the budget: see the whole selection")

    def scores(state: SimpleNamespace) -> None:
        state.scores = score(*own.scoring, k_scale=own.k_scale, fill=False)

    return [Stage("scores", scores), Stage("top-k", bounded_topk(inputs))]


def kernel_flat_in_chunks(inputs: Inputs) -> Sequence[Stage]:
    """The same a band of rows at a time, so that memory stays under a budget."""
    _check_kernels(inputs)
    select = _load("select_flat", "select_all")
    own, case = inputs, inputs.case

    def run(state: SimpleNamespace) -> None:
        state.indices = select(
            *own.scoring,
            case.topk,
            k_scale=own.k_scale,
            widest=case.context,
        )

    return [Stage("select", run)]


def kernel_hisa(inputs: Inputs) -> Sequence[Stage]:
    """HISA stage by stage, or flat selection where every block would be chosen, as `select_hisa` does."""
    _check_kernels(inputs)
    case = inputs.case
    if not case.prunes:
        return kernel_flat(inputs)
    prepare, width = _load("select_hisa", "HisaCall"), case.most_blocks
    options = BlockOptions(case.block_size, width)

    def pool(state: SimpleNamespace) -> None:
        state.call = prepare(
            inputs.q,
            inputs.k,
            inputs.weights,
            inputs.starts,
            inputs.ends,
            case.topk,
            options,
            width,
            k_scale=inputs.k_scale,
        )
        state.call.pool()

    def score_blocks(state: SimpleNamespace) -> None:
        state.call.score_blocks()

    def choose_blocks(state: SimpleNamespace) -> None:
        state.call.choose_blocks()
        state.blocks = state.call.blocks

    def sort_pairs(state: SimpleNamespace) -> None:
        if state.call.by_blocks:
            state.call.sort_pairs()

    def score_candidates(state: SimpleNamespace) -> None:
        state.call.score_candidates()

    def choose_tokens(state: SimpleNamespace) -> None:
        state.call.choose_tokens()
        state.indices = state.call.out

    return [
        Stage("pool", pool),
        Stage("block scores", score_blocks),
        Stage("top-m", choose_blocks),
        Stage("sort", sort_pairs),
        Stage("refine", score_candidates),
        Stage("tokens", choose_tokens),
    ]


def kernel_attention(inputs: AttentionInputs) -> Sequence[Stage]:
    """Our kernel over the chosen latents."""
    _check_kernels(inputs)
    return attention_stages(inputs, _load("sparse_mla", "attend"))


def kernel_decode_flat(*, paged: bool) -> Callable[[DecodeInputs], Sequence[Stage]]:
    """Scores of all keys of each sequence, then the best of them."""

    def prepare(inputs: DecodeInputs) -> Sequence[Stage]:
        _check_kernels(inputs)
        score, choose = _load("decode", "score_all"), _load("decode", "best_columns")
        own, case, keys = inputs, inputs.case, _decode_keys(inputs, paged=paged)

        def scores(state: SimpleNamespace) -> None:
            state.scores = own.q.new_empty((case.queries, own.k.shape[1]), dtype=torch.float32)
            score(own.q, keys, own.weights, own.lengths, state.scores)

        def choose_tokens(state: SimpleNamespace) -> None:
            state.indices = own.lengths.new_empty((case.queries, case.topk))
            choose(state.scores, own.lengths, case.topk, state.indices)

        return [Stage("scores", scores), Stage("top-k", choose_tokens)]

    return prepare


def kernel_decode_hisa(*, paged: bool) -> Callable[[DecodeInputs], Sequence[Stage]]:
    """One token pooled (beside the rest), blocks scored and chosen, their tokens scored and chosen."""

    def prepare(inputs: DecodeInputs) -> Sequence[Stage]:
        _check_kernels(inputs)
        names = ("pool_new", "score_blocks", "best_columns", "score_chosen", "best_tokens")
        pool_new, score_blocks, best_columns, score_chosen, best_tokens = (
            _load("decode", name) for name in names
        )
        own, case, keys = inputs, inputs.case, _decode_keys(inputs, paged=paged)
        batch, size, m = case.queries, case.block_size, case.most_blocks

        beside = Beside(own.q.device)

        def pool(state: SimpleNamespace) -> None:
            # Beside what follows, as in `HisaDecoder.step`: the open block is forced, whatever its score.
            with beside.work():
                pool_new(keys, own.lengths, 1, size, "mean", own.pooled)

        def blocks(state: SimpleNamespace) -> None:
            state.block_scores = own.pooled.new_empty(own.pooled.shape[:2])
            state.counts = torch.empty_like(own.lengths)
            forced = min(FORCED["first_last"], m)
            score_blocks(
                own.q, own.pooled, own.weights, own.lengths, size, forced, state.block_scores, state.counts
            )

        def choose_blocks(state: SimpleNamespace) -> None:
            state.blocks = own.lengths.new_empty((batch, m))
            best_columns(state.block_scores, state.counts, m, state.blocks)

        def refine(state: SimpleNamespace) -> None:
            state.scores = own.pooled.new_empty((batch, m * size))
            score_chosen(own.q, keys, own.weights, own.lengths, state.blocks, size, state.scores)

        def choose_tokens(state: SimpleNamespace) -> None:
            state.indices = own.lengths.new_empty((batch, case.topk))
            best_tokens(state.scores, state.blocks, size, case.topk, state.indices)
            beside.join()

        return [
            Stage("pool", pool),
            Stage("block scores", blocks),
            Stage("top-m", choose_blocks),
            Stage("refine", refine),
            Stage("tokens", choose_tokens),
        ]

    return prepare


def _decode_keys(inputs: DecodeInputs, *, paged: bool) -> Any:
    """The keys in pages, or in a matrix of each sequence's own, as the kernels take them."""
    try:
        from hisa_kernels.decode_keys import PagedKeys, SequenceKeys
    except ImportError as error:
        raise Unavailable(f"no decoding in this version: {error}") from None
    if paged:
        return PagedKeys(inputs.pages.view(-1, PAGE, inputs.case.dim + 4), inputs.table)
    return SequenceKeys(inputs.k, inputs.k_scale)


def kernels() -> list[Contestant]:
    """The kernels for GPUs, flat and HISA: stage by stage, and as they are called in earnest."""
    return [
        Contestant("hisa_kernels flat", "flat", kernel_flat),
        Contestant("hisa_kernels flat + in chunks", "flat", kernel_flat_in_chunks),
        Contestant("hisa_kernels HISA", "hisa", kernel_hisa),
        Contestant("hisa_kernels sparse MLA", "attention", kernel_attention),
        Contestant("hisa_kernels decode + paged", "decode flat", kernel_decode_flat(paged=True)),
        Contestant("hisa_kernels decode + contiguous", "decode flat", kernel_decode_flat(paged=False)),
        Contestant("hisa_kernels HISA paged", "decode hisa", kernel_decode_hisa(paged=True)),
        Contestant("hisa_kernels HISA contiguous", "decode hisa", kernel_decode_hisa(paged=False)),
    ]
