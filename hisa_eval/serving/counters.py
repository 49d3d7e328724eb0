"""What one engine process did: counted, and written where the environment asks for it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hisa_eval import __version__
from hisa_eval.serving.settings import Serving
from hisa_eval.serving.signatures import Layout

EVERY = 10.0
"""Seconds between two writings of the file."""


@dataclass
class Attestation:
    """Who selects in this process, and for how many rows it did.

    Attributes:
        serving: Settings.
        engine: vLLM's version.
        layout: Of its prefill logits.
        prefill_calls: Calls of the prefill hook.
        prefill_rows: Queries in them.
        decode: Gives calls of the decode hook and rows with keys in them; with blocks to choose they are
            counted on the device, replays of CUDA graphs too.
        device: Where it ran, once it did.
        backend: What scores blocks there.
    """

    serving: Serving
    engine: str
    layout: Layout
    decode: Callable[[], tuple[int, int]]
    prefill_calls: int = 0
    prefill_rows: int = 0
    device: str | None = None
    backend: str | None = None
    _written: float = field(default=0.0, repr=False)

    def facts(self) -> dict[str, Any]:
        """All of it, JSON types only; waits for the device."""
        calls, rows = self.decode()
        return {
            "indexer": self.serving.indexer.label,
            "settings": dict(self.serving.indexer.settings),
            "topk": self.serving.topk,
            "hisa_eval": __version__,
            "vllm": self.engine,
            "prefill_logits": self.layout,
            "pid": os.getpid(),
            "device": self.device,
            "backend": self.backend,
            "prefill": {"calls": self.prefill_calls, "rows": self.prefill_rows},
            "decode": {"calls": calls, "rows": rows},
        }

    def write(self) -> None:
        """Writes the facts to `<folder>/<pid>.json`, where a folder was asked for."""
        if self.serving.attest is None:
            return
        folder = Path(self.serving.attest)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{os.getpid()}.part"
        part.write_text(json.dumps(self.facts(), indent=1) + "\n")
        part.replace(folder / f"{os.getpid()}.json")
        self._written = time.monotonic()

    def write_now_and_then(self) -> None:
        """`write`, if the last time is long ago; for places that may wait for the device."""
        if time.monotonic() - self._written > EVERY:
            self.write()
