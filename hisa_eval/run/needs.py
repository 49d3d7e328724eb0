"""What a large checkpoint asks of a machine, said before anything is fetched or loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hisa_eval.errors import UserError
from hisa_eval.models import registry as model_registry
from hisa_eval.models.sizing import PEAK_FLOPS, REACHED, Needs, needs_of
from hisa_eval.run.device import free_bytes

GIB = 1 << 30
GPUS = {"H100 80 GB": 80 * 10**9, "H200 141 GB": 141 * 10**9}
ITEMS = {"f32": 4, "bf16": 2, "fp8": 1}


def check_fits(model: str, *, device: str, dtype: str, spread: str) -> None:
    """Refuse a checkpoint whose weights are larger than the memory that is free.

    Args:
        model: Folder, or name on the hub.
        device: `cpu` or `cuda`.
        dtype: `f32` or `bf16`; FP8 weights are dequantised to it.
        spread: `one` or `layers`.

    Raises:
        UserError: it cannot fit.
    """
    free = free_bytes(device)
    if free is None:
        return
    where = device
    if device == "cuda" and spread == "layers":
        import torch

        free, where = free * torch.cuda.device_count(), f"{torch.cuda.device_count()} GPUs"
    wanted = needs_of(model_registry.shape_of(model)).weight_bytes(ITEMS[dtype])
    if wanted > free:
        raise UserError(
            f"the weights of {model} in {dtype} need {wanted / GIB:,.1f} GiB, {free / GIB:,.1f} GiB are free "
            f"on {where}",
            "use --spread layers on more GPUs, or serve it and name the server; --dry-run says what it takes",
        )


def groups_of(needs: Needs) -> list[dict[str, Any]]:
    """Layers, neighbours that are alike in one row; JSON types only."""
    rows: list[dict[str, Any]] = []
    for layer in needs.layers:
        alike = (layer.kind, layer.parameters, layer.cache_bytes)
        if rows and rows[-1]["alike"] == alike:
            rows[-1]["last"] = layer.layer
            continue
        rows.append(
            {
                "alike": alike,
                "first": layer.layer,
                "last": layer.layer,
                "kind": layer.kind,
                "parameters": layer.parameters,
                "indexer_parameters": layer.indexer,
                "cache_bytes_per_token": layer.cache_bytes,
            }
        )
    return [{name: value for name, value in row.items() if name != "alike"} for row in rows]


def needs_by_length(needs: Needs, lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Memory, GPUs and least time of one prompt, by length: in bf16 with whole layers on a GPU, as here, and
    in FP8 cut anywhere, as tensor-parallel engines do."""
    return [
        {
            "length": length,
            "weights": name,
            "weight_bytes": needs.weight_bytes(ITEMS[name]),
            "cache_bytes": needs.cache_bytes(length),
            "gpus": {gpu: count(length, ITEMS[name], size) for gpu, size in GPUS.items()},
            "least_prefill_gpu_seconds": needs.prefill_flops(length) / (PEAK_FLOPS * REACHED),
        }
        for length in lengths
        for name, count in (("bf16", needs.gpus_of_whole_layers), ("fp8", needs.gpus))
    ]
