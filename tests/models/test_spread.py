"""A model spread over several processes or devices answers as on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import DEEPSEEK, GLM, save_tiny

from hisa_eval.models.transformers_dsa.architectures import Architecture
from hisa_eval.models.transformers_dsa.loading import layer_map

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("spread_driver.py")
BOTH = pytest.mark.parametrize("architecture", [DEEPSEEK, GLM], ids=lambda one: one.prefix)


def answered(folder: Path, spread: str, device: str, processes: int = 1) -> dict[str, Any]:
    paths = [str(ROOT / part) for part in (".", "kernels", "tasks")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), str(DRIVER), str(folder), spread, device]
    done = subprocess.run(
        [*command, "600"], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def assert_same(spread: dict[str, Any], alone: dict[str, Any]) -> None:
    assert spread["ids"] == alone["ids"]
    one, other = torch.tensor(spread["logits"]), torch.tensor(alone["logits"])
    off = (one - other).abs().amax(1) > 256 * torch.finfo(torch.float32).eps * other.abs().max()
    assert off.float().mean().item() <= 0.02


@pytest.fixture(scope="module")
def glm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A checkpoint, and what it answers in one process on the CPU."""
    folder = save_tiny(tmp_path_factory.mktemp("spread") / "glm", GLM, dense=False)
    return folder, answered(folder, "one", "cpu")


def test_two_processes_share_heads_and_experts(glm: tuple[Path, dict[str, Any]]) -> None:
    folder, alone = glm
    shared = answered(folder, "tensor", "cpu", processes=2)
    assert shared["q_b_rows"] * 2 == alone["q_b_rows"]
    assert_same(shared, alone)


def test_layers_are_shared_out_evenly() -> None:
    places = layer_map(61, 8)
    counts = [list(places.values()).count(gpu) for gpu in range(8)]
    assert len(places) == 61 + 4
    assert max(counts) - min(counts) <= 3
    assert [places[f"model.layers.{layer}"] for layer in (0, 7, 8, 60)] == [0, 0, 1, 7]
    assert layer_map(61, 0) == {"": "cpu"}


def test_a_device_map_answers_as_without(glm: tuple[Path, dict[str, Any]]) -> None:
    folder, alone = glm
    assert_same(answered(folder, "layers", "cpu"), alone)


@pytest.mark.gpu
@BOTH
def test_layers_on_two_gpus(tmp_path: Path, architecture: Architecture) -> None:
    if torch.cuda.device_count() < 2:
        pytest.fail("this test needs two CUDA devices")
    folder = save_tiny(tmp_path / "tiny", architecture, dense=False)
    alone, shared = answered(folder, "one", "cuda"), answered(folder, "layers", "cuda")
    assert shared["devices"] == ["cuda:0", "cuda:1"]
    assert_same(shared, alone)


@pytest.mark.gpu
@BOTH
def test_heads_on_two_gpus(tmp_path: Path, architecture: Architecture) -> None:
    if torch.cuda.device_count() < 2:
        pytest.fail("this test needs two CUDA devices")
    folder = save_tiny(tmp_path / "tiny", architecture, dense=False)
    alone, shared = answered(folder, "one", "cuda"), answered(folder, "tensor", "cuda", processes=2)
    assert shared["q_b_rows"] * 2 == alone["q_b_rows"]
    assert_same(shared, alone)
