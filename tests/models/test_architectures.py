"""Both DSA architectures through the seams against stock transformers, far beyond the token budget."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import torch
from tiny_models import (
    DEEPSEEK,
    GLM,
    GLM_LAYERS,
    TOPK,
    TiesAsStock,
    load_stock,
    save_tiny,
    stock_run,
)
from transformers.models.deepseek_v32.modeling_deepseek_v32 import apply_rotary_pos_emb
from transformers.models.glm_moe_dsa import modeling_glm_moe_dsa

from hisa_eval.indexers.dsa import DsaIndexer
from hisa_eval.models.transformers_dsa import architectures
from hisa_eval.models.transformers_dsa.architectures import Architecture
from hisa_eval.models.transformers_dsa.seams import load_swapped
from hisa_eval.models.transformers_dsa.session import Session

LENGTHS = (512, 1024, 2048)
BOTH = pytest.mark.parametrize("architecture", [DEEPSEEK, GLM], ids=lambda one: one.prefix)


def prompt(length: int) -> list[int]:
    rng = random.Random(length)
    return [rng.randrange(3, 259) for _ in range(length)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tiny")
    return {one.prefix: save_tiny(root / one.prefix, one) for one in (DEEPSEEK, GLM)}


def run_swapped(
    folder: Path,
    tokens: list[int],
    chunks: list[int],
    selected: dict[int, torch.Tensor] | None = None,
    topk: int | None = None,
) -> torch.Tensor:
    """Logits `[L, V]`; with the selections of stock, ties are decided as there and bounded in number."""
    model, runtime = load_swapped(str(folder), torch.float32, "cpu")
    runtime.topk = topk or runtime.topk
    session = Session(model, runtime, chunk=512, stop_ids=[1])
    indexer = DsaIndexer() if selected is None else TiesAsStock(selected, runtime)
    runtime.begin(indexer)
    parts, at = [], 0
    with torch.inference_mode():
        for size in chunks:
            parts.append(model.lm_head(session._forward(tokens[at : at + size], at, None))[0])
            at += size
    assert at == len(tokens)
    if isinstance(indexer, TiesAsStock):
        assert indexer.n_rows == len(tokens) * len(indexer.selected)
        assert indexer.n_ties <= 0.02 * indexer.n_rows
    return torch.cat(parts)


def off(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Rows `[L]` that differ by more than f32 sums in another order do: 64 units in the last place."""
    bound = 64 * torch.finfo(torch.float32).eps * wanted.abs().max().item()
    return (found - wanted).abs().amax(1) > bound


@BOTH
@pytest.mark.parametrize("length", LENGTHS)
def test_logits_are_those_of_stock_transformers(
    folders: dict[str, Path], architecture: Architecture, length: int
) -> None:
    folder, tokens = folders[architecture.prefix], prompt(length)
    wanted, selected = stock_run(folder, architecture, tokens)
    whole = run_swapped(folder, tokens, [length], selected)
    assert not off(whole, wanted).any()
    # Prefill in uneven chunks, single tokens between them, then decoding.
    chunks = run_swapped(folder, tokens, [300, 1, length - 305, 1, 1, 1, 1], selected)
    assert not off(chunks, wanted).any()


@BOTH
def test_the_bound_notices_a_budget_of_one_key_less(
    folders: dict[str, Path], architecture: Architecture
) -> None:
    folder, tokens = folders[architecture.prefix], prompt(512)
    wanted, _ = stock_run(folder, architecture, tokens)
    found = run_swapped(folder, tokens, [512], topk=TOPK - 1)
    assert off(found, wanted)[TOPK:].float().mean().item() > 0.9


@BOTH
def test_rotation_of_the_other_architecture_is_noticed(
    folders: dict[str, Path], architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, tokens = folders[architecture.prefix], prompt(512)
    wanted, selected = stock_run(folder, architecture, tokens)
    other = {DEEPSEEK: "apply_rotary_pos_emb_interleave", GLM: "halves"}[architecture]
    if architecture is GLM:
        monkeypatch.setattr(modeling_glm_moe_dsa, "halves", apply_rotary_pos_emb, raising=False)
    swapped = dataclasses.replace(architecture, rotation=other)
    monkeypatch.setattr(architectures, "ARCHITECTURES", {architecture.name: swapped})
    found = off(run_swapped(folder, tokens, [512]), wanted)
    assert not found[:TOPK].any()  # all keys are taken: the selection cannot differ
    assert found[TOPK:].float().mean().item() > 0.9
    with pytest.raises(AssertionError, match="not a tie"):
        run_swapped(folder, tokens, [512], selected)


def test_shared_layers_use_the_selection_of_the_layer_before(folders: dict[str, Path]) -> None:
    model, runtime = load_swapped(str(folders[GLM.prefix]), torch.float32, "cpu")
    session = Session(model, runtime, chunk=512, stop_ids=[1])
    runtime.begin(DsaIndexer())
    selected: dict[int, torch.Tensor] = {}
    runtime.taker = lambda layer, chosen: selected.update({layer: chosen})
    used: list[torch.Tensor] = []
    for layer in model.model.layers:
        layer.self_attn.register_forward_hook(lambda _module, _inputs, output: used.append(output[2]))
    with torch.inference_mode():
        session._forward(prompt(512), 0, None)
    assert sorted(selected) == [layer for layer, kind in enumerate(GLM_LAYERS) if kind == "full"]
    source = 0
    for layer, kind in enumerate(GLM_LAYERS):
        source = layer if kind == "full" else source
        assert torch.equal(used[layer], selected[source])
    assert not torch.equal(selected[0], selected[1])
    assert not torch.equal(selected[1], selected[3])


def test_a_last_layer_that_shares_computes_only_the_rows_asked_for(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "glm", GLM, indexer_types=["full", "full", "shared", "shared"])
    tokens, hidden = prompt(400), []
    for first_row in (0, 399):
        model, runtime = load_swapped(str(folder), torch.float32, "cpu")
        session = Session(model, runtime, chunk=512, stop_ids=[1])
        runtime.begin(DsaIndexer())
        with torch.inference_mode():
            hidden.append(session._forward(tokens, 0, first_row)[0, -1])
    assert torch.allclose(*hidden, rtol=1e-4, atol=1e-4)
    wanted, selected = stock_run(folder, GLM, tokens)
    assert not off(run_swapped(folder, tokens, [400], selected), wanted).any()


@BOTH
def test_decoding_gives_the_tokens_of_stock_generation(
    folders: dict[str, Path], architecture: Architecture
) -> None:
    folder, whole = folders[architecture.prefix], prompt(400)
    stock = load_stock(folder, architecture)
    for _ in range(8):  # without a cache: stock itself decides ties otherwise with one
        with torch.inference_mode():
            logits = stock(input_ids=torch.tensor([whole]), use_cache=False).logits
        whole = [*whole, int(logits[0, -1].argmax())]
    _, selected = stock_run(folder, architecture, whole)
    model, runtime = load_swapped(str(folder), torch.float32, "cpu")
    indexer = TiesAsStock(selected, runtime)
    session = Session(model, runtime, chunk=256, stop_ids=[])
    answer = session.answer(whole[:400], indexer, 8, probe=False)
    assert answer.ids == whole[400:]
    assert len(set(answer.ids)) > 2


def test_only_layers_that_select_are_probed(folders: dict[str, Path]) -> None:
    model, runtime = load_swapped(str(folders[GLM.prefix]), torch.float32, "cpu")
    answer = Session(model, runtime, chunk=256, stop_ids=[1]).answer(prompt(500), DsaIndexer(), 2)
    assert [figures["layer"] for figures in answer.selection["layers"]] == [0, 1, 3]
