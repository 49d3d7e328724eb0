"""Which form of vLLM's two logits functions is installed: told by their parameters, not by a version."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

from hisa_eval.errors import UserError

MODULE = "vllm.model_executor.layers.sparse_attn_indexer"
"""Where the engine's indexer looks the functions up."""

PREFILL = "fp8_fp4_mqa_logits"
DECODE = "fp8_fp4_paged_mqa_logits"

Layout = Literal["packed", "compressed"]
"""Of prefill logits: `"packed"` has a column for every key of a chunk (vLLM 0.26), `"compressed"` rows begin
at their own first key (0.33)."""

_PREFILL = ("q", "kv", "weights", "cu_seqlen_ks", "cu_seqlen_ke")
_DECODE = ("q", "kv_cache", "weights", "context_lens", "block_tables", "schedule_metadata", "max_model_len")

KNOWN: dict[tuple[tuple[str, ...], tuple[str, ...]], Layout] = {
    ((*_PREFILL, "clean_logits"), (*_DECODE, "clean_logits")): "packed",
    ((*_PREFILL, "max_seqlen_k"), (*_DECODE, "indices")): "compressed",
}


def layout_of(module: ModuleType, version: str) -> Layout:
    """The layout of the prefill logits of an installed vLLM.

    Args:
        module: Its `sparse_attn_indexer` module, functions as it has them.
        version: Its version, for the message.

    Raises:
        UserError: a function is missing, or its parameters are not known.
    """
    found = (_parameters(getattr(module, PREFILL, None)), _parameters(getattr(module, DECODE, None)))
    layout = KNOWN.get(found)
    if layout is None:
        raise UserError(
            f"vLLM {version} is not one that hisa-eval knows: {PREFILL}({', '.join(found[0])}), "
            f"{DECODE}({', '.join(found[1])})",
            "install vLLM 0.26 or 0.33, whose logits are understood",
        )
    return layout


def _parameters(function: Callable[..., Any] | None) -> tuple[str, ...]:
    return () if function is None else tuple(inspect.signature(function).parameters)
