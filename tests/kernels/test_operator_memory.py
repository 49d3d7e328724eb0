"""Operators stay within their stated memory, far below a score matrix."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from kernel_examples import Batch, real

import hisa_kernels
from hisa_kernels import memory

NAMES = ["select_flat", "select_hisa", "select_block_sparse", "sparse_mla"]
PROBE = """
import multiprocessing, resource, torch
import hisa_kernels
from hisa_kernels import memory
from kernel_examples import real

memory.CPU_TEMP_BYTES = 4 << 20


def run(name, n_keys, n_rows):
    batch = real([(n_keys, n_rows)], heads=4, dim=16)
    options = {} if name == "select_flat" else {"block_size": 64, "num_blocks": 32}
    extra = () if name == "select_block_sparse" else (64,)
    indices = torch.arange(512, dtype=torch.int32).expand(n_rows, 512).contiguous()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if name == "sparse_mla":
        out = hisa_kernels.sparse_mla(batch.q, batch.k, indices, scale=1.0, value_dim=16)
    elif name == "index_scores":
        out = hisa_kernels.index_scores(*batch.args)[:1].clone()
    else:
        out = getattr(hisa_kernels, name)(*batch.args, *extra, **options)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 - out.nbytes


def measure(name, pipe):
    torch.set_num_threads(2)
    run(name, 4096, 256)
    pipe.send((name, run(name, 65536, 1024)))


fork = multiprocessing.get_context("fork")
for name in ("select_flat", "select_hisa", "select_block_sparse", "sparse_mla", "index_scores"):
    ours, theirs = fork.Pipe()
    child = fork.Process(target=measure, args=(name, theirs))
    child.start()
    print(*ours.recv())
    child.join()
"""
SLACK = 12 << 20
"""Allocator and library buffers, bytes."""


@pytest.fixture(scope="module")
def growth() -> dict[str, int]:
    """Bytes by which the resident memory of a fresh process grows in one call, its result not counted."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    pairs = (line.split() for line in done.stdout.splitlines())
    return {name: int(size) for name, size in pairs}


@pytest.mark.parametrize("name", NAMES)
def test_cpu_peak_is_within_the_budget(name: str, growth: dict[str, int]) -> None:
    """1024 rows of 65536 keys: a score matrix would be 256 MiB, four heads of it 1 GiB."""
    assert growth[name] <= memory.TEMPORARIES * (4 << 20) + SLACK


def test_the_measure_sees_a_score_matrix(growth: dict[str, int]) -> None:
    assert growth["index_scores"] >= 256 << 20


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES[:3])
def test_cuda_peak_is_within_the_budget(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CUDA_TEMP_BYTES", 8 << 20)
    batch: Batch = real([(65536, 2048)], heads=4, dim=16).on(torch.device("cuda"))
    extra = () if name == "select_block_sparse" else (64,)
    options = {} if name == "select_flat" else {"block_size": 64, "num_blocks": 32}
    run = getattr(hisa_kernels, name)
    run(*batch.args, *extra, **options)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = run(*batch.args, *extra, **options)
    grown = torch.cuda.max_memory_allocated() - before - out.nbytes
    assert grown <= memory.TEMPORARIES * (8 << 20)
