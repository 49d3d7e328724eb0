"""Which implementation of an operator runs: chosen by name and device, imported when first used."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

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

TILELANG: dict[str, str] = {
    "index_scores": "hisa_kernels.tilelang.index_scores:index_scores",
    "pool_keys": "hisa_kernels.tilelang.pool_keys:pool_keys",
    "topk_indices": "hisa_kernels.tilelang.topk_indices:topk_indices",
    "select_flat": "hisa_kernels.tilelang.select_flat:select_flat",
    "block_scores": "hisa_kernels.tilelang.block_scores:score_blocks",
    "select_blocks": "hisa_kernels.tilelang.select_blocks:select_blocks",
    "candidate_scores": "hisa_kernels.tilelang.candidate_scores:candidate_scores",
    "select_hisa": "hisa_kernels.tilelang.select_hisa:select_hisa",
    "select_block_sparse": "hisa_kernels.tilelang.select_block_sparse:select_block_sparse",
    "sparse_mla": "hisa_kernels.tilelang.sparse_mla:sparse_mla",
}
"""GPU kernels, operator by operator; `"auto"` takes them on CUDA."""

TILELANG_DTYPES: dict[str, tuple[torch.dtype, ...]] = {
    "topk_indices": (torch.float32,),
    "sparse_mla": (torch.bfloat16,),
}
"""Inputs that an operator's kernel takes, where they are not those of `LOW_PRECISION`."""

LOW_PRECISION = (torch.bfloat16, torch.float8_e4m3fn)
"""Inputs that the kernels are written for: what tensor cores multiply without rounding them first."""


def implementation(operator: str, backend: str, *inputs: Tensor) -> Callable[..., Any]:
    """The function that runs `operator`.

    Args:
        operator: Public operator name.
        backend: `"auto"`, `"reference"` or `"tilelang"`.
        *inputs: What the operator multiplies or compares; their device and dtypes decide.

    Raises:
        ValueError: `backend` is unknown.
        RuntimeError: TileLang is asked for where it cannot run.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}: choose one of {', '.join(BACKENDS)}")
    if backend == "tilelang":
        _require_tilelang(operator, inputs)
        return _load(TILELANG[operator])
    known = TILELANG_DTYPES.get(operator, LOW_PRECISION)
    fits = operator in TILELANG and all(tensor.dtype in known for tensor in inputs)
    if backend == "auto" and fits and _tilelang_runs_on(inputs[0].device):
        return _load(TILELANG[operator])
    return _load(REFERENCE[operator])


def backend_in_use(device: torch.device | str, dtype: torch.dtype) -> str:
    """What `"auto"` means for scoring on `device` with inputs of `dtype`: for manifests.

    Returns:
        `"reference"`, or `"tilelang <version>: <operators>"` with the operators whose kernels run; all others
        are the reference's.
    """
    if dtype in LOW_PRECISION and _tilelang_runs_on(torch.device(device)):
        return f"tilelang {importlib.metadata.version('tilelang')}: {', '.join(sorted(TILELANG))}"
    return "reference"


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _tilelang_runs_on(device: torch.device) -> bool:
    return device.type == "cuda" and importlib.util.find_spec("tilelang") is not None


def _require_tilelang(operator: str, inputs: Sequence[Tensor]) -> None:
    if importlib.util.find_spec("tilelang") is None:
        raise RuntimeError(
            "backend 'tilelang' needs the tilelang package: install hisa-eval[kernels], "
            "or pass backend='auto'"
        )
    device = inputs[0].device
    if device.type != "cuda":
        raise RuntimeError(
            f"backend 'tilelang' (extra hisa-eval[kernels]) needs CUDA tensors but these are on {device}: "
            f"move them to a GPU, or pass backend='auto'"
        )
    if operator not in TILELANG:
        raise RuntimeError(
            f"{operator} has no TileLang kernel in this version of hisa-eval[kernels]: pass backend='auto'"
        )
    known = TILELANG_DTYPES.get(operator, LOW_PRECISION)
    foreign = [tensor.dtype for tensor in inputs if tensor.dtype not in known]
    if foreign:
        names = " or ".join(str(dtype).removeprefix("torch.") for dtype in known)
        raise RuntimeError(
            f"the TileLang kernel of {operator} takes {names} but these are "
            f"{str(foreign[0]).removeprefix('torch.')}: convert them, or pass backend='auto'"
        )
