"""Tiles spread over worker threads on a CPU; one after the other on any other device.

Each worker computes its tile alone, without the barrier after every operation that torch's own threads need:
faster on a quiet machine, and far faster on a busy one. NumPy and torch both free the GIL meanwhile.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch

from hisa_kernels.memory import Scratch, worker_count

Job = TypeVar("Job")

SUBNORMAL = 5e-324
"""A number below the smallest normal one."""


def spread(work: Callable[[Job, Scratch], None], jobs: Sequence[Job], device: torch.device) -> None:
    """Runs `work(job, scratch)` for every job; jobs must write to places of their own.

    Args:
        work: What is done.
        jobs: One after the other, or a worker each on a CPU.
        device: Where the tensors live.
    """
    if device.type != "cpu" or worker_count() == 1:
        scratch = Scratch(device)
        for job in jobs:
            work(job, scratch)
        return
    inference = torch.is_inference_mode_enabled()
    counter = itertools.count()

    def drain(_: int) -> None:
        scratch = Scratch(device)
        with torch.inference_mode(inference), torch.no_grad():
            while (at := next(counter)) < len(jobs):
                work(jobs[at], scratch)

    list(_pool(os.getpid(), worker_count()).map(drain, range(min(worker_count(), len(jobs)))))


@contextmanager
def without_denormals() -> Iterator[None]:
    """Numbers below the smallest normal one count as zero in this thread meanwhile.

    A processor takes many times longer over such numbers, and a sharp softmax is full of them.
    """
    before = SUBNORMAL * 1.0 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """The workers of this process, each of which runs torch operations on itself alone."""
    del process
    before = torch.get_num_threads()
    ready = threading.Barrier(threads + 1)

    def enter() -> None:
        torch.get_num_threads()  # torch sets a thread up when first asked; only then does the next line last
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="hisa-kernels", initializer=enter)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(before)
    return pool
