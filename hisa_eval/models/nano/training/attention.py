"""Attention and indexer of stock DeepSeek-V3.2 modules while training, with the indexer's losses.

The modules and parameters are transformers' own; only the indexer's forward and the attention function are
replaced, so that the KL target (the head-summed attention) is at hand where the attention is computed.

Source: DeepSeek-V3.2 technical report, section 2.1 (dense warm-up, sparse training, detached indexer input);
the block-level loss of `nano-hier` is this project's own (arXiv 2603.28458 leaves joint training open).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.models.deepseek_v32 import modeling_deepseek_v32 as deepseek

ATTENTION_NAME = "hisa_nano_training"


@dataclass
class Losses:
    """What one forward pass adds up, per layer in order."""

    kl: list[Tensor] = field(default_factory=list)
    block: list[Tensor] = field(default_factory=list)
    mass: list[Tensor] = field(default_factory=list)


@dataclass
class TrainingContext:
    """Settings of the current step, shared by all layers.

    Attributes:
        rows: Query positions `[B, R]` at which the indexer's losses are taken.
        topk: Token budget of the sparse stage; None trains with dense attention.
        block_sizes: Block sizes whose block scores are trained too; empty for DeepSeek's recipe.
        through: Whether the indexer's losses reach the backbone; False for DeepSeek's recipe.
        losses: Filled by the forward pass.
    """

    rows: Tensor | None = None
    topk: int | None = None
    block_sizes: tuple[int, ...] = ()
    through: bool = False
    losses: Losses = field(default_factory=Losses)


@dataclass(frozen=True)
class IndexerInputs:
    """Indexer queries `[B, S, H, D]`, keys `[B, S, D]` and gates `[B, S, H]` (all scales folded in), f32."""

    q: Tensor
    k: Tensor
    weights: Tensor

    def scores(self, rows: Tensor | None = None, keys: Tensor | None = None) -> Tensor:
        """Index scores `[B, R, S]` of the queries at `rows` against `keys`; all of either by default."""
        q, weights = self.q, self.weights
        if rows is not None:
            q = q.gather(1, rows[..., None, None].expand(-1, -1, *q.shape[2:]))
            weights = weights.gather(1, rows[..., None].expand(-1, -1, weights.shape[-1]))
        keys = self.k if keys is None else keys
        total: Tensor | None = None
        for head in range(q.shape[2]):
            part = F.relu(q[:, :, head] @ keys.transpose(1, 2)) * weights[:, :, head, None]
            total = part if total is None else total + part
        assert total is not None
        return total


class TrainingIndexer(deepseek.DeepseekV32Indexer):
    """Indexer that hands its projections to the attention function instead of selecting."""

    training_context: TrainingContext
    inputs: IndexerInputs

    def forward(
        self,
        hidden_states: Tensor,
        q_resid: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: object | None = None,
    ) -> None:
        if not self.training_context.through:
            hidden_states, q_resid = hidden_states.detach(), q_resid.detach()
        cos, sin = position_embeddings
        rope = self.qk_rope_head_dim
        with torch.autocast(hidden_states.device.type, enabled=False):
            hidden, resid = hidden_states.float(), q_resid.float()
            q = self.wq_b(resid).view(*resid.shape[:2], self.n_heads, self.head_dim)
            k = self.k_norm(self.wk(hidden)).unsqueeze(2)
            q_rot, k_rot = deepseek.apply_rotary_pos_emb(
                q[..., :rope], k[..., :rope], cos.float(), sin.float(), unsqueeze_dim=2
            )
            q = torch.cat([q_rot, q[..., rope:]], dim=-1)
            k = torch.cat([k_rot, k[..., rope:]], dim=-1).squeeze(2)
            weights = self.weights_proj(hidden) * (self.softmax_scale * self.n_heads**-0.5)
        self.inputs = IndexerInputs(q, k, weights)


def _select(inputs: IndexerInputs, topk: int) -> Tensor:
    """Boolean `[B, S, S]`: the keys that each query keeps."""
    batch, length = inputs.k.shape[:2]
    position = torch.arange(length, device=inputs.k.device)
    visible = position[None, :] <= position[:, None]
    scores = inputs.scores().masked_fill_(~visible, float("-inf"))
    if topk < length:
        threshold = scores.topk(topk, dim=-1, sorted=True).values[..., -1:]
        keep = (scores >= threshold) & (scores > float("-inf"))
    else:
        keep = scores > float("-inf")
    return keep.view(batch, length, length)


def _indexer_losses(
    context: TrainingContext,
    inputs: IndexerInputs,
    query: Tensor,
    key: Tensor,
    scaling: float,
    keep: Tensor | None,
) -> None:
    rows = context.rows
    assert rows is not None
    length = key.shape[2]
    position = torch.arange(length, device=key.device)
    hidden = position[None, None, :] > rows[..., None]
    if keep is not None:
        hidden = hidden | ~keep.gather(1, rows[..., None].expand(-1, -1, length))
    with torch.no_grad(), torch.autocast(key.device.type, enabled=False):
        at_rows = query.float().gather(
            2, rows[:, None, :, None].expand(-1, query.shape[1], -1, query.shape[3])
        )
        target = torch.zeros(*rows.shape, length, device=key.device)
        for head in range(query.shape[1]):
            logits = at_rows[:, head] @ key[:, head].float().transpose(1, 2) * scaling
            target += logits.masked_fill_(hidden, float("-inf")).softmax(-1)
        target /= query.shape[1]
    with torch.autocast(key.device.type, enabled=False):
        scores = inputs.scores(rows)
        log_q = scores.masked_fill(hidden, float("-inf")).log_softmax(-1).masked_fill(hidden, 0.0)
        context.losses.kl.append((target * (target.clamp_min(1e-12).log() - log_q)).sum(-1).mean())
        for block_size in context.block_sizes:
            whole = length // block_size * block_size
            pooled = inputs.k[:, :whole].unflatten(1, (-1, block_size)).mean(2)
            ahead = (torch.arange(pooled.shape[1], device=key.device) + 1)[None, None] * block_size > rows[
                ..., None
            ]
            mass = target[..., :whole].unflatten(-1, (-1, block_size)).sum(-1).masked_fill(ahead, 0.0)
            total = mass.sum(-1, keepdim=True)
            log_b = inputs.scores(rows, pooled).masked_fill(ahead, -1e9).log_softmax(-1)
            share = mass / total.clamp_min(1e-6)
            context.losses.block.append(-(share * log_b).sum(-1).mul(total.squeeze(-1)).mean())
    with torch.no_grad():
        budget = min(2048, max(1, length // 8))
        top = scores.masked_fill(hidden, float("-inf")).topk(budget, dim=-1).indices
        context.losses.mass.append(target.gather(-1, top).sum(-1).mean())


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[Tensor, None]:
    context: TrainingContext = module.training_context
    inputs: IndexerInputs = module.indexer.inputs
    keep = None
    if context.topk is not None and context.topk < key.shape[2]:
        with torch.no_grad(), torch.autocast(key.device.type, enabled=False):
            keep = _select(inputs, context.topk)
    if context.rows is not None:
        _indexer_losses(context, inputs, query.detach(), key.detach(), scaling, keep)
    # Fused attention wants one head size for keys and values.
    width = value.shape[-1]
    padded = F.pad(value, (0, query.shape[-1] - width))
    query, key = query.to(value.dtype), key.to(value.dtype)
    if keep is None:
        out = F.scaled_dot_product_attention(query, key, padded, is_causal=True, scale=scaling)
    else:
        out = F.scaled_dot_product_attention(query, key, padded, attn_mask=keep[:, None], scale=scaling)
    return out[..., :width].transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION_NAME, _attention)


def build_training_model(config: dict[str, object]) -> tuple[Any, TrainingContext]:
    """A fresh `DeepseekV32ForCausalLM` that trains through this module.

    Args:
        config: Fields of `DeepseekV32Config`.

    Returns:
        The model (f32 parameters) and the context that all its layers read.
    """
    settings = {
        key: value for key, value in config.items() if key not in ("architectures", "model_type", "dtype")
    }
    stock = deepseek.DeepseekV32Indexer
    deepseek.DeepseekV32Indexer = TrainingIndexer
    try:
        model = deepseek.DeepseekV32ForCausalLM(
            deepseek.DeepseekV32Config(**settings, attn_implementation=ATTENTION_NAME)
        )
    finally:
        deepseek.DeepseekV32Indexer = stock
    context = TrainingContext()
    for layer in model.model.layers:
        layer.self_attn.training_context = context
        layer.self_attn.indexer.training_context = context
    return model.float(), context


def hidden_states(model: Any, ids: Tensor) -> Tensor:
    """Last hidden states `[B, S, hidden]` of token ids `[B, S]`."""
    # The attention above does its own masking; the layers only slice what they are given.
    empty = torch.zeros(1, 1, 1, 1, device=ids.device)
    masks = {"indexed_attention": empty, "deepseek_sparse_attention": empty}
    return model.model(input_ids=ids, attention_mask=masks, use_cache=False).last_hidden_state
