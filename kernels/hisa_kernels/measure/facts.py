"""What a manifest says of the machine and the software."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "tilelang",
    "apache-tvm-ffi",
    "triton",
    "sgl-deep-gemm",
    "deep-gemm",
    "numpy",
    "safetensors",
)

QUERY = (
    "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.draw,power.limit,"
    "temperature.gpu,pstate"
)


def versions() -> dict[str, str]:
    """Python and the packages that can change a time."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def revision(folder: Path | None = None) -> str | None:
    """Git revision of the sources, `+` behind it where they were changed; None outside a checkout."""
    folder = folder or Path(__file__).parent
    try:
        head = _output("git", "-C", str(folder), "rev-parse", "HEAD")
        changed = _output("git", "-C", str(folder), "status", "--porcelain", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def gpu_state() -> dict[str, str] | None:
    """What `nvidia-smi` sees at this moment (it is only asked, never told); None without it."""
    try:
        line = _output("nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader", "--id=0")
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(zip(QUERY.split(","), (part.strip() for part in line.split(",")), strict=False))


def device_facts(device: str) -> dict[str, Any]:
    """Name, memory, and what decides speed."""
    import torch

    if device != "cuda":
        return {
            "type": "cpu",
            "name": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
        }
    found = torch.cuda.get_device_properties(0)
    return {
        "type": "cuda",
        "name": found.name,
        "memory_bytes": found.total_memory,
        "multiprocessors": found.multi_processor_count,
        "l2_bytes": getattr(found, "L2_cache_size", None),
        "cuda": torch.version.cuda,
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
