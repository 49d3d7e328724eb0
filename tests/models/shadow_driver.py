"""A prompt through a checkpoint, alone and then watched; prints peak memory after each as JSON."""

from __future__ import annotations

import json
import sys

import torch
from long_driver import peak

from hisa_eval.fidelity.frame import spread_rows
from hisa_eval.indexers.registry import parse
from hisa_eval.models.transformers_dsa.capture import capture_frames
from hisa_eval.models.transformers_dsa.seams import load_swapped
from hisa_eval.models.transformers_dsa.session import Session


def main(folder: str, spec: str, length: int, rows: int) -> None:
    """Run and print."""
    model, runtime = load_swapped(folder, torch.float32, "cpu")
    tokens = [3 + (7 * i * i + i) % 250 for i in range(length)]
    session = Session(model, runtime, chunk=2048, stop_ids=[])
    session.answer(tokens, parse(spec), 1, probe=False)
    session.reset()
    plain = peak("cpu")
    frames = capture_frames(
        model, runtime, tokens, spread_rows(length, rows, 0), chunk=2048, indexer=parse(spec)
    )
    assert all(frame.attention is not None and len(frame.attention) == rows + 1 for frame in frames)
    print(json.dumps({"plain": plain, "shadowed": peak("cpu")}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
