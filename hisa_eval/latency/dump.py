"""A trained indexer's own queries, keys and gates, taken from a prefill through the harness's seams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hisa_eval.errors import UserError

CHUNK = 2048
ANSWER_ROOM = 16
"""Tokens that a sample keeps free behind its prompt; added, so that the prompt alone has the asked length."""


def dump_inputs(
    file: Path, *, model: str, length: int, layer: int, queries: int, device: str, seed: int = 0
) -> dict[str, Any]:
    """Prefill a needle prompt with flat DSA and write what one layer's indexer saw at its end.

    Args:
        file: Safetensors file for `q [M, H, D]`, `k [N, D]` (bf16) and `weights [M, H]` f32, made here.
        model: Name of an embedded model.
        length: Context in tokens, N.
        layer: Whose indexer.
        queries: Most queries kept, from the end.
        device: `"cpu"` or `"cuda"`.
        seed: Of the prompt.

    Returns:
        What was written, JSON types only.

    Raises:
        UserError: no such model or layer, or the file cannot be written.
    """
    from hisa_eval.models import registry

    facts = registry.describe(model)
    if not 0 <= layer < facts["layers"]:
        raise UserError(
            f"--layer {layer}: {model} has layers 0 to {facts['layers'] - 1}", "choose one of them"
        )
    if file.is_dir():
        raise UserError(f"{file} is a folder", "name a file, as in inputs.safetensors")
    import torch

    from hisa_eval.fidelity.dump_file import save_tensors
    from hisa_eval.models.transformers_dsa.capture import capture_frames
    from hisa_eval.models.transformers_dsa.seams import load_swapped
    from hisa_eval.run.prompt import build_sample

    sample = build_sample(
        "niah",
        {"model": model, "seed": seed, "max_new_tokens": ANSWER_ROOM},
        str(length + ANSWER_ROOM),
        50.0,
        0,
    )
    tokens = registry.tokenizer(model).encode(sample.prompt)
    network, runtime = load_swapped(str(registry.folder(model)), torch.float32, device)
    rows = range(max(0, len(tokens) - queries), len(tokens))
    frame = capture_frames(network, runtime, tokens, rows, chunk=CHUNK, attention=False)[layer]
    tensors = {"q": frame.q.bfloat16(), "k": frame.k.bfloat16(), "weights": frame.weights}
    written = {
        "model": model,
        "checkpoint": facts["checkpoint"],
        "layer": layer,
        "tokens": len(tokens),
        "queries": len(frame.q),
        "prompt": sample.id,
    }
    save_tensors(file, tensors, written)
    return {"file": str(file), **written}
