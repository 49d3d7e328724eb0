"""What `hisa-eval doctor` looks at: each check says what it found and, where it is wrong, how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

from hisa_eval.config.defaults import NIAH, RESULTS
from hisa_eval.errors import UserError
from hisa_eval.run.device import free_bytes

Status = Literal["ok", "note", "fail"]

GIB = 1024**3
LEAST_MEMORY = 2 * GIB
LEAST_DISK = GIB // 4

REQUIRED = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
    "pydantic",
    "jinja2",
)
OPTIONAL = {
    "tilelang": "GPU kernels: pip install 'hisa-eval[kernels]'",
}


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        status: `ok`, `note` (works without it) or `fail` (a default run would not work).
        found: What is there.
        fix: How to mend it; empty where nothing is wrong.
    """

    name: str
    status: Status
    found: str
    fix: str = ""


def run_checks(results: Path = Path(RESULTS)) -> Iterator[Check]:
    """Every check, in the order in which a run needs things.

    Args:
        results: Where runs would land.
    """
    yield _python()
    for name in REQUIRED:
        yield _package(name)
    for name, why in OPTIONAL.items():
        yield _optional(name, why)
    for look in (_gpu, _cores, _memory, _task, _model):
        yield _guarded(look)
    yield _folder(results)


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _package(name: str) -> Check:
    try:
        version = metadata.version(name)
        import_module(name)
    except metadata.PackageNotFoundError:
        return Check(name, "fail", "not installed", f"pip install {name}")
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Check(name, "fail", f"cannot be imported ({reason})", f"pip install --force-reinstall {name}")
    return Check(name, "ok", version)


def _optional(name: str, why: str) -> Check:
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "note", "not installed", f"only needed for {why}")


def _guarded(look: Callable[[], Check]) -> Check:
    """A check whose own failure is a finding."""
    try:
        return look()
    except UserError as error:
        return Check(look.__name__.strip("_"), "fail", error.what, error.fix)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Check(look.__name__.strip("_"), "fail", reason, "reinstall hisa-eval")


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory = f"{properties.total_memory / GIB:.0f} GiB"
        return Check("gpu", "ok", f"{properties.name}, {memory}, CUDA {torch.version.cuda}")
    why = "torch is built without CUDA" if torch.version.cuda is None else "torch sees no GPU"
    return Check("gpu", "note", why, "everything runs on the CPU; --device cuda and the GPU kernels do not")


def _cores() -> Check:
    import torch

    return Check("cpu", "ok", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")


def _memory() -> Check:
    free = free_bytes("cpu")
    if free is None:
        return Check("memory", "note", "unknown", "the system does not say how much is free")
    if free < LEAST_MEMORY:
        return Check(
            "memory", "fail", f"{free / GIB:.1f} GiB free", f"free {LEAST_MEMORY // GIB} GiB or more"
        )
    return Check("memory", "ok", f"{free / GIB:.1f} GiB free")


def _task() -> Check:
    from hisa_tasks.niah import NiahTask

    task = NiahTask(needle=NIAH["needle"], haystack=NIAH["haystack"])
    return Check("task data", "ok", f"{NIAH['needle']} in {NIAH['haystack']}, {task.data_hash()[:12]}")


def _model() -> Check:
    from hisa_eval.models import registry

    name = str(NIAH["model"])
    model = registry.load(name, device="cpu")
    ids = model.tokenizer.encode("needle")
    if model.tokenizer.decode(ids) != "needle":
        return Check("model", "fail", f"{name}: its tokenizer does not give text back", "reinstall hisa-eval")
    return Check("model", "ok", f"{name}, k = {model.topk}")


def _folder(results: Path) -> Check:
    probe = results.absolute()
    while not probe.exists():
        probe = probe.parent
    if not probe.is_dir() or not os.access(probe, os.W_OK | os.X_OK):
        return Check(
            "results", "fail", f"cannot write to {probe}", "work elsewhere, or name a folder with --out"
        )
    free = shutil.disk_usage(probe).free
    if free < LEAST_DISK:
        return Check(
            "results", "fail", f"{free / GIB:.2f} GiB left on the disk of {probe}", "free some space"
        )
    return Check("results", "ok", f"{results.absolute()} can be written, {free / GIB:.0f} GiB free")
