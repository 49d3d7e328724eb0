"""Tiny random checkpoints of both DSA architectures, as files."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from hisa_eval.indexers.dsa import DsaIndexer
from hisa_eval.models.nano.tokenizer import write_tokenizer
from hisa_eval.models.transformers_dsa.architectures import ARCHITECTURES, Architecture

DEEPSEEK, GLM = ARCHITECTURES.values()
TOPK = 64
GLM_LAYERS = ["full", "full", "shared", "full"]

_SHAPE: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 128,
    "intermediate_size": 128,
    "moe_intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": 64,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "index_n_heads": 8,
    "index_head_dim": 32,
    "index_topk": TOPK,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "max_position_embeddings": 1 << 20,
    "initializer_range": 0.1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


def classes(architecture: Architecture) -> tuple[Any, Any]:
    """Configuration and model class of stock transformers."""
    module = importlib.import_module(architecture.module)
    return (getattr(module, architecture.prefix + kind) for kind in ("Config", "ForCausalLM"))  # type: ignore[return-value]


def save_tiny(folder: Path, architecture: Architecture, *, dense: bool = True, **changed: Any) -> Path:
    """Write a random checkpoint with the byte tokenizer of the nano model.

    Args:
        folder: Where to.
        architecture: Which.
        dense: No expert layers.
        **changed: Settings other than the usual.
    """
    settings = {**_SHAPE, **changed}
    layers = settings["num_hidden_layers"]
    settings["mlp_layer_types"] = ["dense"] * layers if dense else ["dense"] + ["sparse"] * (layers - 1)
    settings["first_k_dense_replace"] = layers if dense else 1
    if architecture is GLM:
        settings.setdefault("indexer_types", GLM_LAYERS[:layers])
    make_config, make_model = classes(architecture)
    torch.manual_seed(0)
    model = make_model(make_config(**settings)).eval()
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def load_stock(folder: Path, architecture: Architecture) -> Any:
    """Stock transformers with its eager attention, in f32."""
    _, make_model = classes(architecture)
    return make_model.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def stock_run(
    folder: Path, architecture: Architecture, tokens: list[int]
) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
    """Logits `[L, V]` of stock transformers, and the selection `[L, K]` of each layer that has an indexer."""
    model = load_stock(folder, architecture)
    selected: dict[int, torch.Tensor] = {}
    for layer, block in enumerate(model.model.layers):
        if block.self_attn.indexer is not None:
            block.self_attn.indexer.register_forward_hook(
                lambda _module, _inputs, output, layer=layer: selected.update({layer: output[0]})
            )
    with torch.inference_mode():
        return model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0], selected


class TiesAsStock(DsaIndexer):
    """Flat DSA that must select what stock selects, but for keys whose scores are equal up to rounding.

    A tie decided otherwise changes that row's output, and with it the next layer's keys and every row after
    it; so that logits can be compared to rounding, ties are then decided as stock did.

    Args:
        selected: From `stock_run`.
        runtime: Of the model that it selects for.
    """

    def __init__(self, selected: dict[int, torch.Tensor], runtime: Any) -> None:
        super().__init__()
        self.selected = selected
        self.n_ties = 0
        self.n_rows = 0
        stock_select = runtime.select

        def select(layer: int, *inputs: torch.Tensor) -> torch.Tensor:
            self._layer = layer
            return stock_select(layer, *inputs)

        runtime.select = select

    def select(self, q: Any, k: Any, weights: Any, starts: Any, ends: Any, topk: int, **more: Any) -> Any:
        """Flat DSA's selection, ties as in stock."""
        mine = super().select(q, k, weights, starts, ends, topk, **more)
        stock = self.selected[self._layer][(ends - 1).long()]
        # Stock fills rows that see fewer than k keys with keys of the future, and relies on its mask.
        none = k.shape[0]
        stock = torch.where(stock < ends[:, None], stock, none).sort(1).values
        stock = torch.nn.functional.pad(stock, (0, mine.shape[1] - stock.shape[1]), value=none)
        stock = torch.where(stock == none, -1, stock).to(mine.dtype)
        for row in (mine != stock).any(1).nonzero().flatten().tolist():
            ours, theirs = set(mine[row].tolist()), set(stock[row].tolist())
            scores = weights[row] @ (q[row] @ k.T).relu()
            apart = [scores[key].item() for key in ours ^ theirs]
            assert -1 not in ours ^ theirs
            assert max(apart) - min(apart) <= 1e-5 * scores.abs().max().item(), "not a tie"
            self.n_ties += 1
        self.n_rows += len(ends)
        return stock
