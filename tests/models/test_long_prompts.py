"""Memory of long prompts, ours and stock transformers' that scores every pair at once; 128K on a GPU."""

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

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("long_driver.py")
BOTH = pytest.mark.parametrize("architecture", [DEEPSEEK, GLM], ids=lambda one: one.prefix)
GIB = 1 << 30
ON_CPU = 32768
REAL = {"index_n_heads": 32, "index_head_dim": 128, "index_topk": 2048, "kv_lora_rank": 512} | {
    "qk_rope_head_dim": 64,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
}


def run(folder: Path, kind: str, device: str, length: int, dtype: str, limit: int = 0) -> dict[str, Any]:
    paths = [str(ROOT / part) for part in (".", "kernels", "tasks")]
    path = os.pathsep.join(filter(None, [*paths, os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, str(DRIVER), str(folder), kind, device, str(length), dtype, str(limit)]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_ours_takes_a_fraction_of_stock(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny", GLM, num_hidden_layers=2)
    ours = run(folder, "hisa:block_size=16,num_blocks=16", "cpu", 4096, "float32")
    stock = run(folder, "stock", "cpu", 4096, "float32")
    assert stock["failed"] is None
    # Scores of all pairs are 4 bytes × 8 heads × 4096² and stand twice at the least.
    assert stock["peak"] - stock["before"] > 8 * 8 * 4096**2
    assert ours["peak"] - ours["before"] < 4 * 8 * 4096**2


@BOTH
def test_32k_tokens_on_a_cpu_where_stock_fails(tmp_path: Path, architecture: Architecture) -> None:
    folder = save_tiny(tmp_path / "tiny", architecture, num_hidden_layers=2)
    room = (ON_CPU, "float32", 20 * GIB)
    ours = run(folder, "hisa:block_size=16,num_blocks=16", "cpu", *room)
    print(f"{architecture.prefix} hisa: {ours}")
    assert ours["peak"] - ours["before"] < GIB // 4
    stock = run(folder, "stock", "cpu", *room)
    print(f"{architecture.prefix} stock: {stock}")
    # Scores of all pairs: 4 bytes × 8 index heads × 32768², 34 GB at once.
    assert stock["failed"] is not None
    assert str(4 * 8 * ON_CPU**2) in stock["failed"]


@pytest.mark.gpu
@BOTH
@pytest.mark.parametrize("kind", ["dsa", "hisa", "block-sparse"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_128k_tokens_on_a_gpu(tmp_path: Path, architecture: Architecture, kind: str, dtype: str) -> None:
    if not torch.cuda.is_available():
        pytest.fail("this test needs a CUDA device")
    folder = save_tiny(tmp_path / "tiny", architecture, **REAL)
    found = run(folder, kind, "cuda", 131072, dtype)
    print(f"{architecture.prefix} {kind} {dtype}: {found}")
    assert found["peak"] - found["before"] < 16 * GIB


@pytest.mark.gpu
@BOTH
def test_stock_fails_at_128k(tmp_path: Path, architecture: Architecture) -> None:
    if not torch.cuda.is_available():
        pytest.fail("this test needs a CUDA device")
    folder = save_tiny(tmp_path / "tiny", architecture, **REAL)
    found = run(folder, "stock", "cuda", 131072, "bfloat16")
    print(f"{architecture.prefix} stock: {found}")
    assert found["failed"] is not None
    assert "out of memory" in found["failed"]
