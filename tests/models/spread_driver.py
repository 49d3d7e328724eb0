"""Answers one prompt with a model spread over processes or devices, and prints ids and logits as JSON."""

from __future__ import annotations

import json
import os
import sys

import torch

from hisa_eval.indexers.registry import parse
from hisa_eval.models.transformers_dsa.seams import load_swapped
from hisa_eval.models.transformers_dsa.session import Session


def main(folder: str, spread: str, device: str, length: int) -> None:
    """Run and print from the first process alone."""
    tokens = [3 + (7 * i * i + i) % 250 for i in range(length)]
    model, runtime = load_swapped(folder, torch.float32, device, spread=spread)
    session = Session(model, runtime, chunk=256, stop_ids=[])
    answer = session.answer(tokens, parse("hisa:block_size=16,num_blocks=8"), 8)
    session.reset()
    runtime.begin(parse("dsa"))
    with torch.inference_mode():
        logits = model.lm_head(session._forward(tokens[:256], 0, None))[0].float().cpu()
    devices = sorted({str(p.device) for p in model.parameters()})
    q_b = model.model.layers[0].self_attn.q_b_proj.weight
    local = q_b.to_local() if hasattr(q_b, "to_local") else q_b
    if int(os.environ.get("RANK", "0")) == 0:
        print(
            json.dumps(
                {
                    "ids": answer.ids,
                    "selection": answer.selection,
                    "logits": logits.tolist(),
                    "devices": devices,
                    "q_b_rows": local.shape[0],
                }
            )
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
