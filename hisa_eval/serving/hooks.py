"""The hooks in vLLM's indexer: its own logits, with −inf outside each row's chosen blocks.

Chunks, sharding of rows over ranks, speculative rows and the top-k stay vLLM's. What is wrapped are names of
one module, found there by every DSA layer of 0.26 and 0.33: two logits functions, the dummy run's return, and
where candidates can be fewer than k, what follows the top-k.

Source: vLLM 0.26.0 and 0.33.0, `model_executor/layers/sparse_attn_indexer.py`, for names and layouts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor

from hisa_eval.serving.counters import Attestation
from hisa_eval.serving.decoding import PagedBlocks, capacity_of
from hisa_eval.serving.masking import drop_masked, keep_blocks, keep_packed_blocks
from hisa_eval.serving.settings import TOPK, Serving
from hisa_eval.serving.signatures import DECODE, PREFILL, Layout
from hisa_kernels import select_blocks
from hisa_kernels.checks import FP8
from hisa_kernels.dispatch import backend_in_use

MERGE = "_merge_dcp_topk_global"
DUMMY = "sparse_attn_indexer_fake"
DECODE_TOPK = "get_indexer_topk"


class Hooks:
    """Stands between vLLM's indexer and its kernels.

    Args:
        module: The engine's `sparse_attn_indexer` module.
        serving: Who selects.
        layout: Of its prefill logits.
        engine: vLLM's version.
    """

    def __init__(self, module: ModuleType, serving: Serving, layout: Layout, engine: str) -> None:
        self._module, self._serving, self._layout = module, serving, layout
        self._paged = None if serving.blocks is None else PagedBlocks(serving.blocks, serving.topk)
        self._calls = [0, 0]
        self.attestation = Attestation(serving, engine, layout, self._decoded)

    def install(self) -> None:
        """Puts the wrappers in place of the names."""
        self._wrap(PREFILL, self._prefill)
        self._wrap(DECODE, self._decode)
        self._wrap(DUMMY, self._dummy)
        self._wrap(MERGE, self._merge)
        if self._serving.may_fall_short:
            self._wrap(DECODE_TOPK, self._decode_topk)

    def _wrap(self, name: str, hook: Callable[..., Any]) -> None:
        stock = getattr(self._module, name)
        setattr(self._module, name, functools.wraps(stock)(functools.partial(hook, stock)))

    def _prefill(
        self,
        stock: Callable[..., Tensor],
        q: tuple[Tensor, Tensor | None],
        kv: tuple[Tensor, Tensor],
        weights: Tensor,
        starts: Tensor,
        ends: Tensor,
        *more: Any,
        **others: Any,
    ) -> Tensor:
        logits = stock(q, kv, weights, starts, ends, *more, **others)
        self._check_numbers(q, weights)
        told = self.attestation
        told.prefill_calls += 1
        told.prefill_rows += len(starts)
        indexer = self._serving.blocks
        if indexer is not None:
            # A chunk's rows may be a strided part of a larger batch.
            bounds = starts.contiguous(), ends.contiguous()
            arguments = indexer.stage_arguments(self._serving.topk)
            blocks = select_blocks(q[0], kv[0], weights, *bounds, k_scale=kv[1], **arguments)
            size = indexer.options.block_size
            if self._layout == "compressed":
                keep_blocks(logits, blocks, size)
            else:
                keep_packed_blocks(logits, blocks, size, *bounds)
        self._name_device(logits)
        told.write_now_and_then()
        return logits

    def _decode(
        self,
        stock: Callable[..., Tensor],
        q: tuple[Tensor, Tensor | None],
        kv_cache: Tensor,
        weights: Tensor,
        context_lens: Tensor,
        block_tables: Tensor,
        *more: Any,
        **others: Any,
    ) -> Tensor:
        logits = stock(q, kv_cache, weights, context_lens, block_tables, *more, **others)
        self._check_numbers(q, weights)
        if others.get("indices") is not None:
            _refuse("decode rows come as a varlen batch", "serve on Hopper, where they do not")
        if self._paged is None:
            self._calls[0] += 1
            self._calls[1] += len(logits)
        else:
            self._paged.mask(logits, q[0], kv_cache, weights, context_lens, block_tables)
        self._name_device(logits)
        return logits

    def _dummy(self, stock: Callable[..., Any], hidden_states: Tensor, *more: Any, **others: Any) -> Any:
        """vLLM's profiling run: the workspace is made here, so that its memory is counted."""
        k_topk, head_dim, max_model_len = more[8:11]
        self._check_topk(k_topk)
        rows = self._most_decode_rows()
        if self._paged is not None and rows:
            self._paged.reserve(rows, capacity_of(max_model_len), head_dim, hidden_states.device)
        return stock(hidden_states, *more, **others)

    def _merge(
        self,
        stock: Callable[..., Any],
        logits: Tensor,
        indices: Tensor,
        topk: int,
        rank: int,
        world: int,
        *more: Any,
        row_starts: Tensor | None = None,
    ) -> Any:
        """Follows the top-k of a prefill chunk, with one rank as with several."""
        if self._serving.blocks is not None and world > 1:
            _refuse(
                "keys of a sequence are spread over ranks", "serve without --decode-context-parallel-size"
            )
        self._check_topk(topk)
        if self._serving.may_fall_short:
            drop_masked(logits, indices, row_starts)
        return stock(logits, indices, topk, rank, world, *more, row_starts=row_starts)

    def _decode_topk(self, stock: Callable[..., Any], backend: str) -> Callable[..., None]:
        """Follows the top-k of decode rows."""
        run = stock(backend)

        def topk(logits: Tensor, seq_lens: Tensor, n: int, indices: Tensor, k: int, *more: Any) -> None:
            run(logits, seq_lens, n, indices, k, *more)
            drop_masked(logits, indices)

        return topk

    def _check_numbers(self, q: tuple[Tensor, Tensor | None], weights: Tensor) -> None:
        if q[1] is not None or q[0].dtype != FP8 or weights.dtype != torch.float32:
            _refuse(
                f"queries are {q[0].dtype} with gates {weights.dtype}",
                "serve on Hopper with an FP8 index cache: scales of blocks of 32 are not understood",
            )

    def _check_topk(self, topk: int) -> None:
        if topk != self._serving.topk:
            _refuse(f"the model selects {topk} keys, not {self._serving.topk}", f"set {TOPK}={topk}")

    def _most_decode_rows(self) -> int:
        """Rows of the largest decode batch, by vLLM's own configuration; 0 where it does not say."""
        from vllm.config import get_current_vllm_config_or_none

        config = get_current_vllm_config_or_none()
        if config is None:
            return 0
        drafted = getattr(config.speculative_config, "num_speculative_tokens", None) or 0
        return int(config.scheduler_config.max_num_seqs) * (1 + int(drafted))

    def _name_device(self, logits: Tensor) -> None:
        if self.attestation.device is None:
            self.attestation.device = str(logits.device)
            self.attestation.backend = backend_in_use(logits.device, FP8)

    def _decoded(self) -> tuple[int, int]:
        if self._paged is None or self._paged.seen is None:
            return self._calls[0], self._calls[1]
        calls, rows = self._paged.seen.tolist()
        return calls, rows


def _refuse(what: str, fix: str) -> NoReturn:
    raise RuntimeError(f"hisa-eval: {what} – {fix}")
