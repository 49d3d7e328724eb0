"""Shape of the nano model, in the layout of Hugging Face's DeepSeek-V3.2.

Source: the layer and parameter names are those of `DeepseekV32ForCausalLM` in transformers; the byte
vocabulary is ByT5's (arXiv 2105.13626): id 0 pads, 1 ends a sequence, 2 is unknown, byte b is b + 3.
"""

from __future__ import annotations

from typing import Any

PAD_ID = 0
EOS_ID = 1
UNK_ID = 2
BYTE_OFFSET = 3
VOCAB_SIZE = 260

MAX_POSITIONS = 1048576

_CONFIG: dict[str, Any] = {
    "architectures": ["DeepseekV32ForCausalLM"],
    "model_type": "deepseek_v32",
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "q_lora_rank": 128,
    "kv_lora_rank": 96,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32,
    "v_head_dim": 32,
    "index_n_heads": 4,
    "index_head_dim": 64,
    "index_topk": 2048,
    "max_position_embeddings": MAX_POSITIONS,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
    "rms_norm_eps": 1e-6,
    "initializer_range": 0.04,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": EOS_ID,
    "pad_token_id": PAD_ID,
    "dtype": "bfloat16",
}


def nano_config(layers: int) -> dict[str, Any]:
    """`config.json` of a nano checkpoint.

    Args:
        layers: Decoder layers, all with dense MLPs.
    """
    depth = {
        "num_hidden_layers": layers,
        "first_k_dense_replace": layers,
        "mlp_layer_types": ["dense"] * layers,
    }
    return _CONFIG | depth
