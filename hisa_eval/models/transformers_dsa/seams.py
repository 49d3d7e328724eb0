"""Loads a transformers DSA model whose indexer and attention go through this harness.

No modelling file is copied: two classes of the model's module are subclassed while it is built, and one
attention function is registered. The mask handed to the layers is a placeholder of one element; causality is
in the row bounds that the indexer gets.

Source: transformers `models/deepseek_v32/modeling_deepseek_v32.py` (5.17 and 5.23).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.models.deepseek_v32 import modeling_deepseek_v32 as deepseek

from hisa_eval.models.transformers_dsa.cache import side_by_side
from hisa_eval.models.transformers_dsa.runtime import Runtime
from hisa_kernels import sparse_mla

ATTENTION_NAME = "hisa_eval_sparse_mla"
MASK_KEYS = ("indexed_attention", "deepseek_sparse_attention")
"""What transformers calls this layer type, newest first."""


class SelectingIndexer(deepseek.DeepseekV32Indexer):
    """Projects as the stock indexer does, then asks the runtime's indexer for the selection."""

    runtime: Runtime

    @torch.no_grad()
    def forward(
        self,
        hidden_states: Tensor,
        q_resid: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
    ) -> Tensor:
        batch, length, _ = hidden_states.shape
        cos, sin = position_embeddings
        rope = self.qk_rope_head_dim
        q = self.wq_b(q_resid).view(batch, length, self.n_heads, self.head_dim)
        k = self.k_norm(self.wk(hidden_states)).unsqueeze(2)
        # Half-split rotation here, unlike the interleaved one of the attention.
        q_rot, k_rot = deepseek.apply_rotary_pos_emb(q[..., :rope], k[..., :rope], cos, sin, unsqueeze_dim=2)
        q = torch.cat([q_rot, q[..., rope:]], dim=-1)
        k = torch.cat([k_rot, k[..., rope:]], dim=-1).squeeze(2)
        k = past_key_values.update_indexer(k, self.layer_idx)
        gate = self.weights_proj.weight.dtype
        weights = self.weights_proj(hidden_states.to(gate)).float() * (
            self.softmax_scale * self.n_heads**-0.5
        )
        return self.runtime.select(self.layer_idx, q[0], k[0], weights[0])


class LatentAttention(deepseek.DeepseekV32Attention):
    """Keeps keys and values in their latent form: the attention function absorbs the up-projections."""

    runtime: Runtime

    def expand_kv(self, kv_nope: Tensor, k_rot: Tensor) -> tuple[Tensor, Tensor]:
        """Latents with rotated keys behind them `[1, 1, T, r + rope]`, and the latents `[1, 1, T, r]`."""
        joined = side_by_side(kv_nope, k_rot)
        return torch.cat((kv_nope, k_rot), dim=-1) if joined is None else joined, kv_nope


def _sparse_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    indices: Tensor,
    **_kwargs: Any,
) -> tuple[Tensor, None]:
    """Absorbed MLA over the selected latents.

    Args:
        module: The attention layer.
        query: `[1, H, S, nope + rope]`.
        key: Latents with rotated keys `[1, 1, T, r + rope]`.
        value: Latents `[1, 1, T, r]`; the leading part of `key`.
        attention_mask: Not used.
        scaling: Softmax scale.
        indices: Selection `[R, W]` of the chunk's last R rows; the rows before them come out as zeros.

    Returns:
        `[1, S, H, v]`, and no attention weights.
    """
    heads, length = query.shape[1], query.shape[2]
    rank, nope, v_dim = value.shape[-1], module.qk_nope_head_dim, module.v_head_dim
    out = query.new_zeros(1, length, heads, v_dim)
    watch = module.runtime.attention_watcher
    if indices.shape[0] == 0 and watch is None:
        return out, None
    # Pushing the identity through the module works with sharded, offloaded and quantised weights alike.
    identity = torch.eye(rank, dtype=query.dtype, device=query.device)
    up = module.kv_b_proj(identity).view(rank, heads, nope + v_dim)
    if watch is not None:
        watch(module.layer_idx, lambda rows: _absorbed(query[0][:, rows], up[..., :nope]), key[0, 0], scaling)
    if indices.shape[0] == 0:
        return out, None
    first = length - indices.shape[0]
    q = _absorbed(query[0, :, first:], up[..., :nope])
    known = module.runtime.stepper is not None
    latent = sparse_mla(q, key[0, 0], indices, scale=scaling, value_dim=rank, check_indices=not known)
    out[0, first:] = torch.einsum("shr,rhv->shv", latent.to(query.dtype), up[..., nope:])
    return out, None


def _absorbed(query: Tensor, up: Tensor) -> Tensor:
    """Queries as queries of the latents.

    Args:
        query: `[H, S, nope + rope]`.
        up: Up-projection of the keys `[r, H, nope]`.

    Returns:
        `[S, H, r + rope]`.
    """
    nope = up.shape[-1]
    absorbed = torch.einsum("hsn,rhn->shr", query[..., :nope], up)
    return torch.cat((absorbed, query[..., nope:].transpose(0, 1)), dim=-1)


AttentionInterface.register(ATTENTION_NAME, _sparse_attention)


@contextmanager
def _swapped_classes() -> Iterator[None]:
    stock = deepseek.DeepseekV32Indexer, deepseek.DeepseekV32Attention
    deepseek.DeepseekV32Indexer, deepseek.DeepseekV32Attention = SelectingIndexer, LatentAttention
    try:
        yield
    finally:
        deepseek.DeepseekV32Indexer, deepseek.DeepseekV32Attention = stock


def load_swapped(path: str, dtype: torch.dtype, device: str) -> tuple[Any, Runtime]:
    """Load a DeepSeek-V3.2 checkpoint with the seams in place.

    Args:
        path: Folder in the Hugging Face layout.
        dtype: Of the weights in memory.
        device: Where to.

    Returns:
        The model in evaluation mode, and the runtime that its layers share.
    """
    with _swapped_classes():
        model = deepseek.DeepseekV32ForCausalLM.from_pretrained(
            path, dtype=dtype, attn_implementation=ATTENTION_NAME
        )
    model.to(device).eval()
    runtime = Runtime(topk=model.config.index_topk, n_layers=model.config.num_hidden_layers)
    for layer in model.model.layers:
        layer.self_attn.runtime = runtime
        layer.self_attn.indexer.runtime = runtime
    return model, runtime


def placeholder_masks(device: torch.device) -> dict[str, Tensor]:
    """What the layers slice instead of an S×T mask."""
    one = torch.zeros(1, 1, 1, 1, device=device)
    return dict.fromkeys(MASK_KEYS, one)
