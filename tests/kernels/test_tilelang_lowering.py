"""Every TileLang kernel is lowered for Hopper, and compiled where nvcc is at hand; no GPU needed."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tilelang

import hisa_kernels.tilelang
from hisa_kernels import dispatch
from hisa_kernels.tilelang.build import ARCHITECTURE, KERNELS, Kernel

PACKAGE = hisa_kernels.tilelang
MODULES = sorted(module.name for module in pkgutil.iter_modules(PACKAGE.__path__))
for name in MODULES:
    importlib.import_module(f"{PACKAGE.__name__}.{name}")

CASES = [(kernel, example) for kernel in KERNELS.values() for example in kernel.examples]
IDS = [f"{kernel.name}-{'-'.join(str(v) for v in example.values())}" for kernel, example in CASES]
SPILL = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")


def compile_for_hopper(source: str, folder: Path) -> str:
    """Compile CUDA to machine code and return what the assembler says of it."""
    file = folder / "kernel.cu"
    file.write_text(source)
    root = Path(tilelang.__file__).parent
    number = ARCHITECTURE.removeprefix("sm_")
    command = [
        *("nvcc", "-std=c++17", f"-gencode=arch=compute_{number},code=sm_{number}", "--ptxas-options=-v"),
        *(f"-I{root / 'src'}", f"-I{root / '3rdparty/cutlass/include'}"),
        *("-cubin", "-o", str(folder / "kernel.cubin"), str(file)),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(("kernel", "example"), CASES, ids=IDS)
def test_kernel_lowers_and_compiles(kernel: Kernel, example: dict[str, Any], tmp_path: Path) -> None:
    source = kernel.source(**example)
    assert "__global__" in source
    if shutil.which("nvcc"):
        told = compile_for_hopper(source, tmp_path)
        assert SPILL.search(told), told
        assert all(found == ("0", "0") for found in SPILL.findall(told)), told


def test_every_kernel_is_known() -> None:
    """A kernel that is declared without examples would never be lowered here."""
    assert CASES
    assert all(kernel.examples for kernel in KERNELS.values())


@pytest.mark.parametrize("operator", sorted(dispatch.REFERENCE))
def test_every_operator_has_a_kernel(operator: str) -> None:
    module, _, name = dispatch.TILELANG[operator].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
