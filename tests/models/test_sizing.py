"""Sizes by formula against transformers' own modules on the meta device, and the limits they set."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from tiny_models import DEEPSEEK, GLM, classes, save_tiny

from hisa_eval.errors import UserError
from hisa_eval.models.registry import shape_of
from hisa_eval.models.sizing import needs_of
from hisa_eval.models.transformers_dsa.architectures import Architecture
from hisa_eval.run import needs as run_needs

BOTH = pytest.mark.parametrize("architecture", [DEEPSEEK, GLM], ids=lambda one: one.prefix)


@BOTH
def test_parameters_are_those_of_the_modules(architecture: Architecture) -> None:
    make_config, make_model = classes(architecture)
    config = make_config()
    found = needs_of(config.to_dict())
    with torch.device("meta"):
        model = make_model(config)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    for layer, module in zip(found.layers, model.model.layers, strict=True):
        assert layer.parameters == sum(p.numel() for p in module.parameters())


def test_released_models_by_name_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)
    deepseek = needs_of(shape_of("deepseek-ai/DeepSeek-V3.2-Exp"))
    glm = needs_of(shape_of("zai-org/GLM-5"))
    assert round(deepseek.parameters / 1e9, 1) == 671.9
    assert round(glm.parameters / 1e9, 1) == 743.9
    h200 = 141 * 10**9
    assert deepseek.gpus(131072, 2, h200) == 11
    assert deepseek.gpus_of_whole_layers(131072, 2, h200) == 13  # 5 layers of 23 GB each
    assert deepseek.gpus_of_whole_layers(131072, 2, 20 * 10**9) is None
    assert 5 <= deepseek.gpus(131072, 1, h200) <= 6
    assert deepseek.cache_bytes(131072) == 131072 * 61 * 2 * (512 + 64 + 128)


def test_shared_layers_hold_no_indexer() -> None:
    module = importlib.import_module("transformers.models.glm_moe_dsa.configuration_glm_moe_dsa")
    config = module.GlmMoeDsaConfig(index_topk_freq=4, index_skip_topk_offset=3)
    found = needs_of(config.to_dict())
    assert sum(layer.indexer > 0 for layer in found.layers) == 21
    assert {layer.cache_bytes for layer in found.layers} == {2 * 576, 2 * 704}


def test_what_cannot_fit_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(save_tiny(tmp_path / "tiny", GLM))
    run_needs.check_fits(folder, device="cpu", dtype="f32", spread="one")
    monkeypatch.setattr(run_needs, "free_bytes", lambda device: 1_000_000)
    with pytest.raises(UserError, match=r"need .* GiB, 0\.0 GiB are free on cpu"):
        run_needs.check_fits(folder, device="cpu", dtype="f32", spread="one")
