"""Where a model runs: choosing a device, saying what it is, and how much memory is left."""

from __future__ import annotations

import os
import platform
from typing import Any

from hisa_eval.errors import UserError

SERVER = "server"
"""Device and dtype of a model that runs elsewhere."""


def resolve_device(device: str) -> str:
    """The device that a run uses.

    Args:
        device: `auto`, `cpu` or `cuda`.

    Returns:
        `cpu` or `cuda`.

    Raises:
        UserError: CUDA is asked for and there is none.
    """
    if device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "auto":
        return "cpu"
    why = "this torch is built without CUDA" if torch.version.cuda is None else "torch sees no GPU"
    raise UserError(f"--device cuda: {why}", "use --device cpu, or see hisa-eval doctor")


def resolve_dtype(dtype: str, device: str) -> str:
    """The dtype that a run uses.

    Args:
        dtype: `auto`, `f32` or `bf16`.
        device: `cpu` or `cuda`.

    Returns:
        `f32` or `bf16`: by itself what the device computes fast.
    """
    if dtype != "auto":
        return dtype
    return "bf16" if device == "cuda" else "f32"


def set_threads(threads: int | None) -> None:
    """Use this many CPU threads; None leaves torch's own choice."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def device_facts(device: str) -> dict[str, Any]:
    """What a manifest says of the device."""
    if device == SERVER:
        return {"type": SERVER}
    import torch

    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return {
            "type": "cuda",
            "name": properties.name,
            "memory_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
        }
    return {"type": "cpu", "name": platform.machine(), "threads": torch.get_num_threads()}


def free_bytes(device: str) -> int | None:
    """Memory that a run may still take, in bytes; None where the system does not say."""
    if device == SERVER:
        return None
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
