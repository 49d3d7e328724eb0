"""What a DSA checkpoint needs, layer by layer, by its configuration: parameters, memory, operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORKING_BYTES = 8 << 30
"""Activations of one prefill chunk, score tiles and libraries, on each GPU: an allowance, not measured."""

PEAK_FLOPS = 989e12
"""Dense bf16 of one H100 or H200, NVIDIA's data sheet."""

REACHED = 0.4
"""Share of the peak that a good prefill reaches; what is forecast with it is a lower bound of the time."""


@dataclass(frozen=True)
class LayerNeeds:
    """One layer.

    Attributes:
        layer: Its number.
        kind: `dense` or `experts`, and whether the indexer is its own or `shared`.
        parameters: All of them.
        active: Those that one token meets.
        indexer: Those of the indexer, 0 where the selection is another layer's.
        cache_bytes: Of one token, latents, rotated keys and indexer keys in bf16.
    """

    layer: int
    kind: str
    parameters: int
    active: int
    indexer: int
    cache_bytes: int


@dataclass(frozen=True)
class Needs:
    """A whole checkpoint.

    Attributes:
        layers: In order.
        outside: Parameters of embedding, head and last norm.
        config: The configuration that they follow from.
    """

    layers: tuple[LayerNeeds, ...]
    outside: int
    config: Mapping[str, Any]

    @property
    def parameters(self) -> int:
        """All of them, next-token-prediction layers left out."""
        return self.outside + sum(layer.parameters for layer in self.layers)

    def weight_bytes(self, item: int) -> int:
        """Bytes of all weights at `item` bytes each; scales of FP8 are left out, they are under 0.1 %."""
        return self.parameters * item

    def cache_bytes(self, length: int) -> int:
        """Bytes of the cache of one sequence of `length` tokens."""
        return length * sum(layer.cache_bytes for layer in self.layers)

    def gpus(self, length: int, item: int, gpu_bytes: int) -> int:
        """GPUs of `gpu_bytes` that hold weights, the cache of one sequence, and room to work."""
        room = gpu_bytes - WORKING_BYTES
        return -(-(self.weight_bytes(item) + self.cache_bytes(length)) // max(1, room))

    def gpus_of_whole_layers(self, length: int, item: int, gpu_bytes: int) -> int | None:
        """The same where every layer lies on one GPU and all GPUs get equally many; None where the largest
        layer fits on none."""
        room = gpu_bytes - WORKING_BYTES - self.outside * item // 2
        largest = max(layer.parameters * item + layer.cache_bytes * length for layer in self.layers)
        each = room // largest
        return -(-len(self.layers) // each) if each > 0 else None

    def prefill_flops(self, length: int) -> float:
        """Operations of a prefill with flat DSA: matrix products, index scores, attention over k keys."""
        config = self.config
        active = sum(layer.active for layer in self.layers)
        index = config["index_n_heads"] * config["index_head_dim"]
        selecting = sum(layer.indexer > 0 for layer in self.layers)
        k = min(config["index_topk"], length)
        attended = k * (length - k) + k * k / 2
        wide = 2 * config["kv_lora_rank"] + config["qk_rope_head_dim"]
        attention = len(self.layers) * attended * config["num_attention_heads"] * wide
        return 2.0 * (active * length + selecting * index * length * length / 2 + attention)


def needs_of(config: Mapping[str, Any]) -> Needs:
    """What a configuration needs.

    Args:
        config: Fields of `DeepseekV32Config` or `GlmMoeDsaConfig` of transformers.

    Source: parameter shapes of transformers 5.17 and 5.23, equal to theirs on the meta device.
    """
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    q_rank, rank, rope = config["q_lora_rank"], config["kv_lora_rank"], config["qk_rope_head_dim"]
    nope, value = config["qk_nope_head_dim"], config["v_head_dim"]
    attention = (
        hidden * q_rank
        + q_rank
        + q_rank * heads * (nope + rope)
        + hidden * (rank + rope)
        + rank
        + rank * heads * (nope + value)
        + heads * value * hidden
    )
    index_heads, index_dim = config["index_n_heads"], config["index_head_dim"]
    indexer = q_rank * index_heads * index_dim + hidden * index_dim + 2 * index_dim + hidden * index_heads
    expert = 3 * hidden * config["moe_intermediate_size"]
    routed, shared = config["n_routed_experts"], config["n_shared_experts"]
    layers = []
    for layer in range(config["num_hidden_layers"]):
        experts = config["mlp_layer_types"][layer] == "sparse"
        kinds = config.get("indexer_types")
        own = kinds is None or kinds[layer] != "shared"
        if experts:
            mlp = expert * (routed + shared) + hidden * routed
            met = expert * (config["num_experts_per_tok"] + shared) + hidden * routed
        else:
            mlp = met = 3 * hidden * config["intermediate_size"]
        rest = attention + 2 * hidden + (indexer if own else 0)
        kind = ("experts" if experts else "dense") + ("" if own else ", selection shared")
        cache = 2 * (rank + rope + (index_dim if own else 0))
        layers.append(LayerNeeds(layer, kind, rest + mlp, rest + met, indexer if own else 0, cache))
    ends = 1 if config.get("tie_word_embeddings") else 2
    return Needs(tuple(layers), ends * config["vocab_size"] * hidden + hidden, config)
