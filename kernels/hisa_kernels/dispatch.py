"""Which implementation of an operator runs: chosen by name and device, imported when first used."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch

BACKENDS = ("auto", "reference", "tilelang")

REFERENCE = {
    "index_scores": "hisa_kernels.reference.index_scores:index_scores",
    "pool_keys": "hisa_kernels.reference.pool_keys:pool_keys",
    "topk_indices": "hisa_kernels.reference.topk_indices:topk_indices",
    "select_flat": "hisa_kernels.reference.select_flat:select_flat",
    "block_scores": "hisa_kernels.reference.block_scores:block_scores",
    "select_blocks": "hisa_kernels.reference.select_blocks:select_blocks",
    "candidate_scores": "hisa_kernels.reference.candidate_scores:candidate_scores",
    "select_hisa": "hisa_kernels.reference.select_hisa:select_hisa",
    "select_block_sparse": "hisa_kernels.reference.select_block_sparse:select_block_sparse",
    "sparse_mla": "hisa_kernels.reference.sparse_mla:sparse_mla",
}
"""Plain PyTorch, any device; every operator has one."""

TILELANG: dict[str, str] = {}
"""GPU kernels, operator by operator; `"auto"` prefers them on CUDA."""


def implementation(operator: str, backend: str, device: torch.device) -> Callable[..., Any]:
    """The function that runs `operator`.

    Args:
        operator: Public operator name.
        backend: `"auto"`, `"reference"` or `"tilelang"`.
        device: Where the inputs live.

    Raises:
        ValueError: `backend` is unknown.
        RuntimeError: TileLang is asked for where it cannot run.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}: choose one of {', '.join(BACKENDS)}")
    if backend == "tilelang":
        _require_tilelang(operator, device)
        return _load(TILELANG[operator])
    if backend == "auto" and operator in TILELANG and _tilelang_runs_on(device):
        return _load(TILELANG[operator])
    return _load(REFERENCE[operator])


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _tilelang_runs_on(device: torch.device) -> bool:
    return device.type == "cuda" and importlib.util.find_spec("tilelang") is not None


def _require_tilelang(operator: str, device: torch.device) -> None:
    if importlib.util.find_spec("tilelang") is None:
        raise RuntimeError(
            "backend 'tilelang' needs the tilelang package: install hisa-eval[kernels], "
            "or pass backend='auto'"
        )
    if device.type != "cuda":
        raise RuntimeError(
            f"backend 'tilelang' (extra hisa-eval[kernels]) needs CUDA tensors but these are on {device}: "
            f"move them to a GPU, or pass backend='auto'"
        )
    if operator not in TILELANG:
        raise RuntimeError(
            f"{operator} has no TileLang kernel in this version of hisa-eval[kernels]: pass backend='auto'"
        )
