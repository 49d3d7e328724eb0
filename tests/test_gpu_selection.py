"""GPU tests stay out of a plain run, and fail rather than pass unseen where they are asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
SAMPLE = """
import pytest

@pytest.mark.gpu
def test_wants_gpu(): pass

def test_plain(): pass
"""


def collected(folder: Path, *arguments: str) -> str:
    shutil.copy(TESTS / "conftest.py", folder)
    (folder / "test_sample.py").write_text(SAMPLE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout


def test_plain_run_has_no_gpu_test(tmp_path: Path) -> None:
    listed = collected(tmp_path)
    assert "test_plain" in listed
    assert "test_wants_gpu" not in listed


def test_gpu_run_has_only_gpu_tests(tmp_path: Path) -> None:
    listed = collected(tmp_path, "-m", "gpu")
    assert "test_wants_gpu" in listed
    assert "test_plain" not in listed


def test_gpu_test_without_a_gpu_fails() -> None:
    target = TESTS / "kernels" / "test_operators_equal_oracle.py"
    command = [sys.executable, "-m", "pytest", str(target), "-m", "gpu", "-k", "pool_keys"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parent, env=environment)
    assert "needs a CUDA device" in done.stdout
    assert "passed" not in done.stdout
    assert done.returncode == 1
