"""Models by name. Imports neither torch nor transformers until one is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hisa_eval.errors import UserError, unknown_name

if TYPE_CHECKING:
    from hisa_eval.models.base import Model
    from hisa_tasks.sample import Tokenizer

_EMBEDDED: Mapping[str, str] = {
    "nano": (
        "Embedded byte-level DeepSeek-V3.2 of 1.9 M parameters, indexer trained by DeepSeek's recipe alone "
        "(KL to the attention, dense then sparse); it knows nothing but finding and copying."
    ),
    "nano-mini": (
        "The same architecture, trained by the same recipe on the questions of the mini suite too; it finds "
        "needles less surely beyond 32K than nano does."
    ),
    "nano-hier": (
        "The nano model trained on with a block-level loss on pooled keys, so that block selection finds "
        "what token selection would; not DeepSeek's recipe."
    ),
}


def available() -> list[str]:
    """Names that `load` takes, in order."""
    return sorted(_EMBEDDED)


def folder(name: str) -> Path:
    """Where an embedded model's checkpoint lies.

    Raises:
        UserError: no such model, or its files are missing from the installation.
    """
    if name not in _EMBEDDED:
        raise unknown_name("model", name, available())
    path = Path(str(resources.files("hisa_eval.models.nano"))) / "checkpoints" / name
    if not (path / "model.safetensors").is_file():
        raise UserError(
            f"the files of model {name!r} are missing from this installation", "reinstall hisa-eval"
        )
    return path


def checkpoint_hash(path: Path) -> str:
    """SHA-256 over a checkpoint's configuration, tokenizer and weights."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.name in ("config.json", "tokenizer.json") or file.suffix == ".safetensors":
            digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def describe(name: str) -> Mapping[str, Any]:
    """Facts of a model that need no weights in memory.

    Args:
        name: As in `available`.

    Returns:
        name, description, topk, checkpoint (hash), layers, index heads and dimension, context length.

    Raises:
        UserError: as `folder`.
    """
    path = folder(name)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    return {
        "name": name,
        "description": _EMBEDDED[name],
        "architecture": config["architectures"][0],
        "checkpoint": checkpoint_hash(path),
        "topk": config["index_topk"],
        "layers": config["num_hidden_layers"],
        "index_heads": config["index_n_heads"],
        "index_head_dim": config["index_head_dim"],
        "context": config["max_position_embeddings"],
        "weights_bytes": (path / "model.safetensors").stat().st_size,
    }


def tokenizer(name: str) -> Tokenizer:
    """A model's own tokenizer, without its weights.

    Raises:
        UserError: as `folder`.
    """
    from hisa_eval.models.tokens import CheckpointTokenizer

    return CheckpointTokenizer(folder(name))


def load(
    name: str, *, device: str = "cpu", dtype: str = "f32", seed: int = 0, topk: int | None = None
) -> Model:
    """Load a model.

    Args:
        name: As in `available`.
        device: `"cpu"` or `"cuda"`.
        dtype: Of weights and activations, `"f32"` or `"bf16"`.
        seed: Seeds torch, so that nothing in a run depends on chance.
        topk: Token budget k; the checkpoint's own by default.

    Raises:
        UserError: as `folder`.
    """
    path = folder(name)
    import torch

    from hisa_eval.models.transformers_dsa.model import TransformersModel

    torch.manual_seed(seed)
    return TransformersModel(
        path,
        name=name,
        description=_EMBEDDED[name],
        device=device,
        dtype={"f32": torch.float32, "bf16": torch.bfloat16}[dtype],
        topk=topk,
    )
