"""A checkpoint in the released FP8 layout: e4m3 weights, scales of 128 × 128 blocks, one tensor an expert."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import DEEPSEEK, GLM, save_tiny

from hisa_eval.indexers.registry import parse
from hisa_eval.models.transformers_dsa.architectures import Architecture
from hisa_eval.models.transformers_dsa.seams import load_swapped
from hisa_eval.models.transformers_dsa.session import Session

BLOCK = 128
_ODD = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "index_head_dim": 128}
"""As released: 576 rows of `kv_a_proj_with_mqa` have 5 rows of scales."""

KEPT = re.compile(r"norm|embed_tokens|lm_head|mlp\.gate\.|weights_proj")
BOTH = pytest.mark.parametrize("architecture", [DEEPSEEK, GLM], ids=lambda one: one.prefix)


def quantised(weight: torch.Tensor, *, powers: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """e4m3 values, inverse scales, and the weight that they stand for."""
    rows, columns = ((size + BLOCK - 1) // BLOCK for size in weight.shape)
    values, back = torch.empty_like(weight, dtype=torch.float8_e4m3fn), torch.empty_like(weight)
    scales = torch.empty(rows, columns)
    for row in range(rows):
        for column in range(columns):
            part = (slice(row * BLOCK, (row + 1) * BLOCK), slice(column * BLOCK, (column + 1) * BLOCK))
            scale = weight[part].abs().max() / 448
            if powers:
                scale = torch.exp2(torch.ceil(torch.log2(scale)))
            values[part] = (weight[part] / scale).to(torch.float8_e4m3fn)
            scales[row, column] = scale
            back[part] = values[part].float() * scale
    return values, scales, back


def save_both(root: Path, architecture: Architecture, *, powers: bool) -> tuple[Path, Path, int]:
    """The released layout, the same weights dequantised by hand, and how many were quantised."""
    plain = save_tiny(root / "plain", architecture, dense=False, num_hidden_layers=2, **_ODD)
    fp8 = save_tiny(root / "fp8", architecture, dense=False, num_hidden_layers=2, **_ODD)
    tensors: dict[str, torch.Tensor] = {}
    by_hand: dict[str, torch.Tensor] = {}
    count = 0
    for name, weight in load_file(plain / "model.safetensors").items():
        if weight.dim() != 2 or KEPT.search(name):
            tensors[name] = by_hand[name] = weight
            continue
        tensors[name], tensors[name + "_scale_inv"], by_hand[name] = quantised(weight.float(), powers=powers)
        count += 1
    save_file(tensors, fp8 / "model.safetensors", {"format": "pt"})
    save_file(by_hand, plain / "model.safetensors", {"format": "pt"})
    config: dict[str, Any] = json.loads((fp8 / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "fp8",
        "fmt": "e4m3",
        "activation_scheme": "dynamic",
        "weight_block_size": [BLOCK, BLOCK],
        **({"scale_fmt": "ue8m0"} if powers else {}),
    }
    (fp8 / "config.json").write_text(json.dumps(config))
    return fp8, plain, count


@BOTH
@pytest.mark.parametrize("powers", [False, True], ids=["float-scales", "power-scales"])
def test_loads_and_runs_as_its_dequantised_self(
    tmp_path: Path, architecture: Architecture, powers: bool
) -> None:
    fp8, plain, count = save_both(tmp_path, architecture, powers=powers)
    names = list(load_file(fp8 / "model.safetensors"))
    assert sum(name.endswith("weight_scale_inv") for name in names) == count > 20
    assert any("experts.3.down_proj.weight_scale_inv" in name for name in names)
    released = load_file(fp8 / "model.safetensors")
    assert released["model.layers.0.self_attn.kv_a_proj_with_mqa.weight"].shape[0] == 576
    tokens = [3 + (7 * i * i + i) % 250 for i in range(400)]
    answers, weights = [], []
    for folder in (fp8, plain):
        model, runtime = load_swapped(str(folder), torch.float32, "cpu")
        weights.append(dict(model.state_dict()))
        session = Session(model, runtime, chunk=128, stop_ids=[])
        answers.append(session.answer(tokens, parse("hisa:block_size=16,num_blocks=8"), 6))
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        assert weight.dtype == weights[1][name].dtype
        assert torch.equal(weight, weights[1][name]), name
    assert answers[0].ids == answers[1].ids
    assert answers[0].selection == answers[1].selection
