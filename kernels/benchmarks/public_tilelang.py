"""The pipelines of the tilelang repository, `examples/dsa_hisa` and `examples/deepseek_v32`, run unchanged.

Their kernels are called through their own interface functions from a checkout that is named on the command
line; nothing of them is kept here. They compile again for every length.

Source: https://github.com/tile-ai/tilelang
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch

from benchmarks.topk import TopK, masked_topk
from hisa_kernels.measure.attention import AttentionInputs
from hisa_kernels.measure.inputs import Inputs
from hisa_kernels.measure.pipeline import Contestant, Stage, Unavailable

SELECTOR_LIMIT = 32 * 1024
"""Above this context the public selector's tail buffer of 4096 entries can overflow (an illegal access at 64K
with random scores), which would take the device context with it."""

BLOCK_TIE = 0.2
"""Pooled keys in FP8 and block scores in bf16 move a block score by hundredths of a deviation; with half this
width, one block in a thousand was chosen although it lies outside the tie."""


class Public:
    """Modules of a checkout, imported when first needed.

    Args:
        folder: The checkout, its `examples`, or a folder that holds the files side by side.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def load(self, name: str) -> ModuleType:
        """A module of the examples.

        Raises:
            Unavailable: no checkout is named, it lacks the file, or importing fails.
        """
        if self._folder is None:
            raise Unavailable("--tilelang-examples names no checkout")
        root = self._folder
        for place in (root, *(root / base / part for base in ("", "examples") for part in _PARTS)):
            if (place / f"{name}.py").is_file():
                if str(place) not in sys.path:
                    sys.path.append(str(place))
                try:
                    return importlib.import_module(name)
                except ImportError as error:
                    raise Unavailable(f"{place / name}.py cannot be imported: {error}") from None
        raise Unavailable(f"{root} has no {name}.py")

    def contestants(self) -> list[Contestant]:
        """Flat scores with either top-k, and HISA."""
        return [
            Contestant("public TileLang flat + torch.topk", "flat", self._flat(masked_topk, clean=True)),
            Contestant("public TileLang flat + its selector", "flat", self._flat(self.selector, clean=False)),
            Contestant("public TileLang HISA", "hisa", self._hisa, BLOCK_TIE, every_case=True),
            Contestant("public TileLang sparse MLA", "attention", self._attention),
        ]

    def selector(self, inputs: Inputs) -> Callable[[SimpleNamespace], None]:
        """The public radix selector over a score matrix."""
        if inputs.case.context > SELECTOR_LIMIT:
            raise Unavailable("its tail buffer of 4096 entries overflows beyond 32K")
        module, topk = self.load("topk_selector"), inputs.case.topk
        starts, ends = inputs.starts, inputs.ends

        def run(state: SimpleNamespace) -> None:
            # It takes dense rows only; DeepGEMM's are padded.
            state.indices = module.tl_topk(state.scores.contiguous(), starts, ends, topk)

        return run

    def _flat(self, choose: TopK, *, clean: bool) -> Callable[[Inputs], Sequence[Stage]]:
        def prepare(inputs: Inputs) -> Sequence[Stage]:
            _check_shape(inputs)
            module = self.load("fp8_lighting_indexer")

            def scores(state: SimpleNamespace) -> None:
                state.scores = module.mqa_attn_return_logits_interface(
                    inputs.q,
                    inputs.k,
                    inputs.k_scale,
                    inputs.weights,
                    inputs.starts,
                    inputs.ends,
                    clean_logits=clean,
                )

            return [Stage("scores", scores), Stage("top-k", choose(inputs))]

        return prepare

    def _hisa(self, inputs: Inputs) -> Sequence[Stage]:
        _check_shape(inputs)
        pooling = self.load("fp8_block_mean_pooling").fp8_native_block_mean_pooling_interface
        scoring = self.load("pool_mqa_fp8").pool_mqa_attn_return_logits_fp8_interface
        masking = self.load("clean_and_maintain_logits").clean_and_maintain_logits_interface
        refining = self.load("block_sparse_mqa_fp8").fp8_native_block_sparse_mqa_attn_return_logits_interface
        own, case = inputs, inputs.case
        size, m = case.block_size, case.most_blocks
        first = own.starts // size
        past = (own.ends + size - 1) // size

        def pool(state: SimpleNamespace) -> None:
            state.pooled, state.pooled_scale = pooling(own.k, own.k_scale, size)

        def score_blocks(state: SimpleNamespace) -> None:
            state.block_scores = scoring(own.q, state.pooled, state.pooled_scale, own.weights, first, past)

        def mask(state: SimpleNamespace) -> None:
            masking(state.block_scores, first, past)

        def choose_blocks(state: SimpleNamespace) -> None:
            state.blocks = torch.topk(state.block_scores.bfloat16(), m, dim=-1, sorted=False).indices

        def refine(state: SimpleNamespace) -> None:
            state.scores = refining(
                own.q, own.k, own.k_scale, state.blocks, size, own.weights, own.starts, own.ends
            )

        def choose_tokens(state: SimpleNamespace) -> None:
            k = min(case.topk, state.scores.shape[1])
            state.slots = torch.topk(state.scores, k, dim=-1).indices

        def name_tokens(state: SimpleNamespace) -> None:
            block = torch.gather(state.blocks, -1, state.slots // size)
            found = (block * size + state.slots % size).to(torch.int32) - own.starts[:, None]
            outside = (found < 0) | (found >= (own.ends - own.starts)[:, None])
            state.indices = found.masked_fill(outside, -1)

        return [
            Stage("pool", pool),
            Stage("block scores", score_blocks),
            Stage("mask", mask),
            Stage("top-m", choose_blocks),
            Stage("refine", refine),
            Stage("tokens", choose_tokens),
            Stage("map", name_tokens),
        ]

    def _attention(self, inputs: AttentionInputs) -> Sequence[Stage]:
        case = inputs.case
        if (case.dim, inputs.value_dim) != (576, 512):
            raise Unavailable("takes latents of 512 + 64 columns only")
        attend = self.load("sparse_mla_fwd_pipelined").sparse_mla_fwd
        first = torch.tensor([case.context - case.queries], dtype=torch.int32, device=inputs.q.device)
        q, kv, indices = inputs.q[None], inputs.kv[None, :, None], inputs.indices[None, :, None]
        sizes = (case.heads, inputs.value_dim, case.dim - inputs.value_dim, case.topk)
        # Stride and groups of the keys are 1; causal; and whether the first query is the sequence's first.
        flags = (1, 1, inputs.scale, True, case.context == case.queries)

        def run(state: SimpleNamespace) -> None:
            state.out = attend(q, kv, indices, first, *sizes, *flags)[0][0]

        return [Stage("attention", run)]


_PARTS = ("dsa_hisa", "deepseek_v32")


def _check_shape(inputs: Inputs) -> None:
    if inputs.case.dtype != "fp8":
        raise Unavailable("takes FP8 only")
    if inputs.case.heads > 128 or 128 % inputs.case.heads:
        raise Unavailable("takes a number of heads that divides 128")
