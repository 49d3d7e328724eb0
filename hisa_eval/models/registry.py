"""Models by name, path or address. Imports neither torch nor transformers until one is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hisa_eval.errors import UserError, unknown_name
from hisa_eval.models import checkpoint
from hisa_eval.models.checkpoint import checkpoint_hash as checkpoint_hash
from hisa_eval.models.openai_server.facts import is_address

if TYPE_CHECKING:
    from hisa_eval.models.base import Model
    from hisa_tasks.sample import Tokenizer

_EMBEDDED: Mapping[str, str] = {
    "nano": (
        "Embedded byte-level DeepSeek-V3.2 of 2.8 M parameters, indexer trained by DeepSeek's recipe alone "
        "(KL to the attention, dense then sparse); it knows nothing but finding and copying."
    ),
    "nano-mini": (
        "The same architecture with two layers, trained by the same recipe on the questions of the mini "
        "suite too; it finds needles less surely beyond 32K than nano does."
    ),
    "nano-hier": (
        "The nano model trained on with a block-level loss on pooled keys, so that block selection finds "
        "what token selection would; not DeepSeek's recipe."
    ),
}


def available() -> list[str]:
    """Names of the embedded models, in order; `load` takes folders and names on the hub besides."""
    return sorted(_EMBEDDED)


def folder(name: str, *, weights: bool = False) -> Path:
    """Where a model's checkpoint lies.

    Args:
        name: Of an embedded model, a folder, or `owner/name` on the hub.
        weights: Have the weights too, not only settings and tokenizer.

    Raises:
        UserError: no such model, or its files are missing.
    """
    if is_address(name):
        raise UserError(f"{name} needs its model's tokenizer", "name it: --tokenizer FOLDER, or OWNER/NAME")
    if name not in _EMBEDDED:
        if not checkpoint.is_reference(name):
            known = unknown_name("model", name, available())
            raise UserError(known.what, f"{known.fix}; or a folder, or OWNER/NAME on the hub")
        return checkpoint.find(name, weights=weights)
    path = Path(str(resources.files("hisa_eval.models.nano"))) / "checkpoints" / name
    if not (path / "model.safetensors").is_file():
        raise UserError(
            f"the files of model {name!r} are missing from this installation", "reinstall hisa-eval"
        )
    return path


def _description(name: str) -> str:
    return _EMBEDDED.get(name) or f"The checkpoint {label(name)}."


def label(name: str) -> str:
    """What tables call a model: the last part of a path."""
    return name if name in _EMBEDDED else Path(name).expanduser().resolve().name


def describe(name: str) -> Mapping[str, Any]:
    """Facts of a model that need no weights in memory.

    Args:
        name: As `folder`.

    Returns:
        name, description, topk, checkpoint (hash), layers, index heads and dimension, context length.

    Raises:
        UserError: as `folder`, or its architecture does not run here.
    """
    return checkpoint.describe(name, folder(name), description=_description(name), label=label(name))


_RELEASED: Mapping[str, str] = {
    "deepseek-ai/DeepSeek-V3.2-Exp": "deepseek_v32",
    "deepseek-ai/DeepSeek-V3.2": "deepseek_v32",
    "zai-org/GLM-5": "glm_moe_dsa",
}
"""Released checkpoints whose shape is the default of transformers' configuration."""

_LARGE = 8 << 30


def shape_of(name: str) -> Mapping[str, Any]:
    """Every setting of a model's configuration, defaults filled in; nothing is fetched for a released one.

    Raises:
        UserError: as `folder`, or its architecture does not run here.
    """
    from transformers import AutoConfig

    if name in _RELEASED and not Path(name).is_dir():
        return dict(AutoConfig.for_model(_RELEASED[name]).to_dict())
    path = folder(name)
    checkpoint.describe_architecture(path, name)
    return dict(AutoConfig.from_pretrained(path).to_dict())


def is_large(name: str) -> bool:
    """Whether a model is too large to be loaded for a forecast: it is not embedded or served, and its weights
    are beyond 8 GiB or not here."""
    if name in _EMBEDDED or is_address(name) or not checkpoint.is_reference(name):
        return False
    path = Path(name).expanduser()
    return not path.is_dir() or sum(one.stat().st_size for one in checkpoint.weight_files(path)) > _LARGE


def tokenizer(name: str) -> Tokenizer:
    """A model's own tokenizer, without its weights.

    Raises:
        UserError: as `folder`, or it has none.
    """
    from hisa_eval.models.tokens import CheckpointTokenizer

    return CheckpointTokenizer(checkpoint.check_tokenizer(folder(name), name))


def load(
    name: str,
    *,
    device: str = "cpu",
    dtype: str = "f32",
    seed: int = 0,
    topk: int | None = None,
    spread: str = "one",
) -> Model:
    """Load a model.

    Args:
        name: As `folder`.
        device: `"cpu"` or `"cuda"`.
        dtype: Of weights and activations, `"f32"` or `"bf16"`.
        seed: Seeds torch, so that nothing in a run depends on chance.
        topk: Token budget k; the checkpoint's own by default.
        spread: Over `"one"` device, or several: see `transformers_dsa.seams.load_swapped`.

    Raises:
        UserError: as `describe` and `tokenizer`, a dtype that does not exist, or weights that cannot be read.
    """
    path = checkpoint.check_tokenizer(folder(name, weights=True), name)
    import torch

    from hisa_eval.models.transformers_dsa.model import TransformersModel

    dtypes = {"f32": torch.float32, "bf16": torch.bfloat16}
    if dtype not in dtypes:
        raise unknown_name("dtype", dtype, dtypes)
    torch.manual_seed(seed)
    return TransformersModel(
        path,
        name=label(name),
        description=_description(name),
        device=device,
        dtype=dtypes[dtype],
        topk=topk,
        spread=spread,
    )
