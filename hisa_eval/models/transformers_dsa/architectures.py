"""Which transformers architectures the seams fit, read from a checkpoint's `config.json` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hisa_eval.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """A model whose indexer and attention the seams replace.

    Attributes:
        name: As in `architectures` of a `config.json`.
        module: Modelling module of transformers.
        prefix: Of its class names.
        rotation: Function of the module that rotates indexer queries and keys. The layouts differ: DeepSeek
            rotates halves, GLM interleaved pairs; the wrong one changes the selection and nothing else.
    """

    name: str
    module: str
    prefix: str
    rotation: str


_KNOWN = (
    Architecture(
        "DeepseekV32ForCausalLM",
        "transformers.models.deepseek_v32.modeling_deepseek_v32",
        "DeepseekV32",
        "apply_rotary_pos_emb",
    ),
    Architecture(
        "GlmMoeDsaForCausalLM",
        "transformers.models.glm_moe_dsa.modeling_glm_moe_dsa",
        "GlmMoeDsa",
        "apply_rotary_pos_emb_interleave",
    ),
)
ARCHITECTURES: Mapping[str, Architecture] = {one.name: one for one in _KNOWN}
"""Those that run, by name."""

NOT_YET: Mapping[str, str] = {
    "DeepseekV4ForCausalLM": "its indexer scores compressed keys, one for four tokens",
    "Glm5NextForCausalLM": "its indexer pools keys by learned weights",
}
"""Sparse-attention architectures that the seams do not fit, and why."""

_HOW = f"runs: {', '.join(ARCHITECTURES)}"


def architecture_of(config: Mapping[str, Any], where: str) -> Architecture:
    """The architecture of a checkpoint.

    Args:
        config: Its `config.json`.
        where: Name or path of the checkpoint, for the error.

    Raises:
        UserError: no architecture is named, it has no indexer, it does not run here yet, or its weights are
            quantised in a way that cannot be read.

    Source: class and function names of transformers 5.17 and 5.23.
    """
    names = config.get("architectures") or []
    if not names:
        raise UserError(f"config.json of {where} names no architecture", _HOW)
    name = str(names[0])
    if name in NOT_YET:
        raise UserError(f"{where} is a {name}, which does not run here yet: {NOT_YET[name]}", _HOW)
    found = ARCHITECTURES.get(name)
    if found is None and "index_topk" in config:
        raise UserError(f"{where} is a {name}, which does not run here yet", _HOW)
    if found is None or not config.get("index_topk", 1):
        raise UserError(f"{where} is a {name} without a DSA indexer, so there is nothing to swap", _HOW)
    method = quantisation(config)
    if method not in (None, "fp8"):
        raise UserError(
            f"{where} has weights of the kind {method!r}, which are not read yet",
            "take the bf16 checkpoint or the released FP8 one",
        )
    return found


def quantisation(config: Mapping[str, Any]) -> str | None:
    """How the weights are quantised (`quant_method`), None where they are not."""
    found = config.get("quantization_config") or {}
    method = found.get("quant_method")
    return None if method is None else str(method)


def indexer_layers(config: Any) -> list[int]:
    """Layers that select; the others reuse the selection of the nearest one before them.

    Args:
        config: A transformers configuration.
    """
    kinds = getattr(config, "indexer_types", None)
    n_layers = int(config.num_hidden_layers)
    return [layer for layer in range(n_layers) if kinds is None or kinds[layer] != "shared"]
