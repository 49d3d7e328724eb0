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
    from safetensors.torch import save_file

    from hisa_eval.indexers.dsa import DsaIndexer
    from hisa_eval.models.transformers_dsa.cache import SequenceCache
    from hisa_eval.models.transformers_dsa.seams import load_swapped, placeholder_masks
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
    runtime.begin(DsaIndexer())
    seen: dict[str, list[Any]] = {"q": [], "weights": []}
    keys = torch.empty(0)

    def watch(at: int, q: Any, k: Any, weights: Any, _ends: Any) -> None:
        nonlocal keys
        if at == layer:
            seen["q"].append(q.detach().clone())
            seen["weights"].append(weights.detach().clone())
            keys = k.detach()

    runtime.watcher = watch
    cache, masks = SequenceCache(network.config.kv_lora_rank), placeholder_masks(torch.device(device))
    with torch.inference_mode():
        for start in range(0, len(tokens), CHUNK):
            part = tokens[start : start + CHUNK]
            runtime.first_row = len(part)
            places = torch.arange(start, start + len(part), device=device)[None]
            network.model(
                input_ids=torch.tensor([part], device=device),
                position_ids=places,
                attention_mask=masks,
                past_key_values=cache,
                use_cache=True,
            )
            for parts in seen.values():
                while sum(map(len, parts[1:])) >= queries:
                    parts.pop(0)
        tensors = {
            "q": torch.cat(seen["q"])[-queries:].bfloat16().cpu().contiguous(),
            "k": keys.bfloat16().cpu().clone().contiguous(),
            "weights": torch.cat(seen["weights"])[-queries:].float().cpu().contiguous(),
        }
    written = {
        "model": model,
        "checkpoint": facts["checkpoint"],
        "layer": layer,
        "tokens": len(tokens),
        "queries": len(tensors["q"]),
        "prompt": sample.id,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, str(file), metadata={name: str(value) for name, value in written.items()})
    except OSError as error:
        raise UserError(f"cannot write {file} ({error.strerror or error})", "name another file") from error
    return {"file": str(file), **written}
