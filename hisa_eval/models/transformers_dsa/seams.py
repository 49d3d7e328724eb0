"""What replaces a transformers DSA model's indexer and attention.

No modelling file is copied: two classes of the model's module are subclassed while it is built, and one
attention function is registered. The mask handed to the layers is a placeholder of one element; causality is
in the row bounds that the indexer gets.

Source: transformers `models/deepseek_v32/modeling_deepseek_v32.py` and
`models/glm_moe_dsa/modeling_glm_moe_dsa.py` (5.17 and 5.23).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from hisa_eval.models.transformers_dsa.architectures import Architecture
from hisa_eval.models.transformers_dsa.cache import side_by_side
from hisa_eval.models.transformers_dsa.fp8 import partial_blocks
from hisa_eval.models.transformers_dsa.loading import loading_errors, placement, settings_of
from hisa_eval.models.transformers_dsa.runtime import Runtime
from hisa_kernels import sparse_mla

ATTENTION_NAME = "hisa_eval_sparse_mla"
MASK_KEYS = ("indexed_attention", "deepseek_sparse_attention")
"""What transformers calls this layer type, newest first."""


class SelectingIndexer:
    """Projects as the stock indexer does, then asks the runtime's indexer for the selection.

    Goes before the stock class, whose parameters it uses.
    """

    runtime: Runtime
    rotate: Callable[..., tuple[Tensor, Tensor]]
    """The stock module's own rotation of indexer queries and keys."""

    layer_idx: int
    n_heads: int
    head_dim: int
    qk_rope_head_dim: int
    softmax_scale: float
    wq_b: Any
    wk: Any
    k_norm: Any
    weights_proj: Any

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
        q_rot, k_rot = self.rotate(q[..., :rope], k[..., :rope], cos, sin, unsqueeze_dim=2)
        q = torch.cat([q_rot, q[..., rope:]], dim=-1)
        k = torch.cat([k_rot, k[..., rope:]], dim=-1).squeeze(2)
        k = past_key_values.update_indexer(k, self.layer_idx)
        gate = self.weights_proj.weight.dtype
        weights = self.weights_proj(hidden_states.to(gate)).float() * (
            self.softmax_scale * self.n_heads**-0.5
        )
        with on_device_of(k):
            return self.runtime.select(self.layer_idx, q[0], k[0], weights[0])


class LatentAttention:
    """Keeps keys and values in their latent form: the attention function absorbs the up-projections.

    Goes before the stock class.
    """

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
    if module.indexer is None:
        # A shared layer gets the rows of the layer before it, which may be more than its own output needs.
        indices = indices[indices.shape[0] - length + module.runtime.needed_from(module.layer_idx, length) :]
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
    with on_device_of(key):
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
def swapped_classes(architecture: Architecture) -> Iterator[None]:
    """Have transformers build models of `architecture` with the classes above in front of its own.

    Set before loading, since tensor parallelism and offloading capture methods as they are then.
    """
    module = importlib.import_module(architecture.module)
    names = [architecture.prefix + kind for kind in ("Indexer", "Attention")]
    stock = [getattr(module, name) for name in names]
    rotation = {"rotate": staticmethod(getattr(module, architecture.rotation))}
    setattr(module, names[0], type("Selecting" + names[0], (SelectingIndexer, stock[0]), rotation))
    setattr(module, names[1], type("Latent" + names[1], (LatentAttention, stock[1]), {}))
    try:
        yield
    finally:
        for name, one in zip(names, stock, strict=True):
            setattr(module, name, one)


def attach(model: Any) -> Runtime:
    """The runtime that all layers of a model built with `swapped_classes` share."""
    runtime = Runtime(topk=model.config.index_topk, n_layers=model.config.num_hidden_layers)
    for layer in model.model.layers:
        layer.self_attn.runtime = runtime
        if layer.self_attn.indexer is not None:
            layer.self_attn.indexer.runtime = runtime
    return runtime


def on_device_of(tensor: Tensor) -> AbstractContextManager[Any]:
    """Kernels launch on the current device: make it the tensor's, where layers lie on several."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def load_swapped(path: str, dtype: torch.dtype, device: str, *, spread: str = "one") -> tuple[Any, Runtime]:
    """Load a checkpoint with the seams in place.

    Args:
        path: Folder in the Hugging Face layout; FP8 weights are dequantised to `dtype`.
        dtype: Of the weights in memory.
        device: Where to, `"cpu"` or `"cuda"`.
        spread: `"one"` device; `"layers"` over all GPUs, each holding some; `"tensor"` parallel over the
            processes that torchrun started.

    Returns:
        The model in evaluation mode, and the runtime that its layers share.

    Raises:
        UserError: as `architecture_of`, or transformers cannot load it.
    """
    architecture, config = settings_of(path)
    module = importlib.import_module(architecture.module)
    block = (getattr(config, "quantization_config", None) or {}).get("weight_block_size")
    with swapped_classes(architecture), partial_blocks(block), loading_errors(path):
        model = getattr(module, architecture.prefix + "ForCausalLM").from_pretrained(
            path,
            config=config,
            dtype=dtype,
            attn_implementation=ATTENTION_NAME,
            **placement(spread, device, config.num_hidden_layers),
        )
    if spread == "one":
        model.to(device)
    model.eval()
    return model, attach(model)


def placeholder_masks(device: torch.device) -> dict[str, Tensor]:
    """What the layers slice instead of an S×T mask."""
    one = torch.zeros(1, 1, 1, 1, device=device)
    return dict.fromkeys(MASK_KEYS, one)
