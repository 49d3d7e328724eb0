"""`hisa-eval` with an in-memory model, to be run as a script.

The model knows each sample's answer and gives it, except where a block-level indexer would lose a needle in
the middle: deterministic, fast, and different from indexer to indexer. Environment variables make it slow
(`ORACLE_SLEEP`, seconds a sample), fail (`ORACLE_FAIL`, `indexer@length`: out of memory there) or raise
(`ORACLE_RAISE`, a depth: an unexpected error there).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from hisa_eval.indexers.base import Indexer
from hisa_eval.models.base import Generation
from hisa_tasks.sample import Sample


class CellError(Exception):
    """Stands in for the model layer's own; the runner knows it by name."""


class Bytes:
    """One token a byte."""

    def encode(self, text: str) -> list[int]:
        """UTF-8 bytes."""
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        """Text of bytes."""
        return bytes(ids).decode()


class Oracle:
    """A model that reads the answer off the sample."""

    name = "oracle"
    tokenizer = Bytes()
    topk = 2048

    def __init__(self, revision: str = "r1") -> None:
        self.revision = revision
        self.asked: list[tuple[str, int, float]] = []

    def describe(self) -> Mapping[str, Any]:
        """What a manifest says of it."""
        return {"name": self.name, "checkpoint": self.revision}

    def generate(self, sample: Sample, indexer: Indexer, *, probe: bool = True, seed: int = 0) -> Generation:
        """The answer, or a wrong one where this indexer loses the needle."""
        depth = float(sample.meta.get("depth", 100.0))
        self.asked.append((indexer.label, sample.length, depth))
        time.sleep(float(os.environ.get("ORACLE_SLEEP", "0")))
        if os.environ.get("ORACLE_FAIL") == f"{indexer.name}@{sample.length}":
            raise CellError(f"out of memory at {sample.length} tokens")
        if os.environ.get("ORACLE_RAISE") == f"{depth:g}":
            raise ZeroDivisionError("division by zero")
        reach = {"dsa": 0.0, "hisa": 20.0, "block-sparse": 40.0}[indexer.name]
        lost = sample.length > 4096 and abs(depth - 50) < reach
        return Generation(
            text=" 0000000" if lost else " " + ", ".join(sample.references),
            n_prompt_tokens=sample.n_prompt_tokens,
            n_generated=8,
            finish_reason="stop",
            prefill_seconds=time.perf_counter() % 1,
            decode_seconds=0.001,
            selection=figures(depth) if probe else {},
        )

    def memory_bytes(self, length: int, indexer: Indexer) -> int:
        """A kilobyte a token."""
        return 1024 * length


def figures(depth: float) -> dict[str, Any]:
    """Selection figures of one layer."""
    rows = {"rows": 4, "iou_sum": 3.2, "iou_min": 0.5, "recall_sum": 3.6, "recall_min": 0.6}
    layer = {
        "layer": 0,
        "all": rows,
        "beyond": rows,
        "iou_values": [0.5, 0.9, 0.9, 0.9],
        "last_row": {"visible": 8192, "iou": 0.5, "recall": 0.6},
        "evidence": depth / 100,
    }
    return {"layers": [layer]}


def registry() -> dict[str, Any]:
    """The functions of a model registry that knows `oracle` alone."""
    facts = {
        "description": "knows every answer",
        "topk": 2048,
        "checkpoint": os.environ.get("ORACLE_REVISION", "r1"),
    }
    return {
        "available": lambda: ["oracle"],
        "describe": lambda name: facts,
        "tokenizer": lambda name: Bytes(),
        "load": lambda name, **options: Oracle(facts["checkpoint"]),
    }


if __name__ == "__main__":
    import hisa_eval.models.registry
    from hisa_eval.cli.main import main

    vars(hisa_eval.models.registry).update(registry())
    sys.exit(main())
