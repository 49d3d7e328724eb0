"""One long prompt through a checkpoint, ours or stock; prints peak memory and seconds as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from hisa_eval.indexers.registry import parse
from hisa_eval.models.transformers_dsa.seams import load_swapped
from hisa_eval.models.transformers_dsa.session import Session


def peak(device: str) -> int:
    """Bytes at the highest: of the allocator on CUDA, of the process on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def main(folder: str, kind: str, device: str, length: int, dtype: str, limit: int) -> None:
    """Run and print.

    Args:
        folder: Of the checkpoint.
        kind: `stock`, or an indexer.
        device: `cpu` or `cuda`.
        length: Of the prompt.
        dtype: Of weights and activations.
        limit: Bytes of address space that a CPU run may take; 0 for no limit.
    """
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    tokens = [3 + (7 * i * i + i) % 250 for i in range(length)]
    number = getattr(torch, dtype)
    if kind == "stock":
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=number, attn_implementation="sdpa")
        model.to(device).eval()
        before, began = peak(device), time.perf_counter()
        try:
            with torch.inference_mode():
                model.model(input_ids=torch.tensor([tokens], device=device), use_cache=False)
            failed = None
        except (RuntimeError, MemoryError) as error:
            failed = str(error).splitlines()[0]
    else:
        model, runtime = load_swapped(folder, number, device)
        chunk = 8192 if device == "cuda" else 2048
        session = Session(model, runtime, chunk=chunk, stop_ids=[])
        before, began = peak(device), time.perf_counter()
        session.answer(tokens, parse(kind), 4, probe=False)
        failed = None
    seconds = time.perf_counter() - began
    print(json.dumps({"before": before, "peak": peak(device), "seconds": seconds, "failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5], int(sys.argv[6]))
