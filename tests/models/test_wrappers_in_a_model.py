"""Wrappers where they belong: in the layers and steps of a model."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tiny_models import DEEPSEEK, GLM, TOPK, save_tiny

from hisa_eval.indexers.base import Indexer
from hisa_eval.indexers.registry import parse
from hisa_eval.models.transformers_dsa.architectures import Architecture
from hisa_eval.models.transformers_dsa.seams import load_swapped
from hisa_eval.models.transformers_dsa.session import Session

TOKENS = [(7 * at) % 250 + 4 for at in range(300)]


def watched(
    folder: Path, indexer: Indexer, *, probe: bool
) -> tuple[list[int], list[dict[int, torch.Tensor]]]:
    """Generated ids, and by call of the model the selection of each layer's newest row."""
    model, runtime = load_swapped(str(folder), torch.float32, "cpu")
    calls: list[dict[int, torch.Tensor]] = []
    stock_select = runtime.select

    def select(layer: int, *inputs: torch.Tensor) -> torch.Tensor:
        if not calls or layer in calls[-1]:
            calls.append({})
        chosen = stock_select(layer, *inputs)
        calls[-1][layer] = chosen[-1] if len(chosen) else chosen
        return chosen

    runtime.select = select  # type: ignore[method-assign]
    session = Session(model, runtime, chunk=128, stop_ids=[])
    return session.answer(TOKENS, indexer, 8, probe=probe).ids, calls


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"), DEEPSEEK)


@pytest.mark.parametrize("probe", [False, True])
def test_index_cache_shares_in_prefill_and_in_every_step(folder: Path, probe: bool) -> None:
    _, calls = watched(folder, parse("index-cache:every=2"), probe=probe)
    assert len(calls) == 3 + 7
    for call in calls[2:]:
        assert torch.equal(call[0], call[1])
        assert torch.equal(call[2], call[3])
        assert not torch.equal(call[0], call[2])


def test_the_probe_sees_what_sharing_costs(folder: Path) -> None:
    model, runtime = load_swapped(str(folder), torch.float32, "cpu")
    answer = Session(model, runtime, chunk=128, stop_ids=[]).answer(TOKENS, parse("index-cache:every=2"), 2)
    layers = answer.selection["layers"]
    recall = [one["beyond"]["recall_sum"] / one["beyond"]["rows"] for one in layers]
    assert recall[0] == recall[2] == 1.0
    assert recall[1] < 0.9
    assert recall[3] < 0.9


def test_step_reuse_asks_all_keys_in_prefill_and_now_and_then(folder: Path) -> None:
    flat, calls_of_flat = watched(folder, parse("dsa"), probe=False)
    every, _ = watched(folder, parse("step-reuse:every=1"), probe=False)
    assert every == flat
    _, calls = watched(folder, parse("step-reuse:every=3,newest=4"), probe=False)
    for layer in range(4):
        assert torch.equal(calls[2][layer], calls_of_flat[2][layer])
    for before, now in pairwise(calls[2:5]):
        for layer in range(4):
            new = set(now[layer].tolist()) - set(before[layer].tolist())
            assert all(key >= len(TOKENS) - 4 for key in new)
            assert len(set(now[layer].tolist())) == TOPK


@pytest.mark.parametrize("architecture", [DEEPSEEK, GLM], ids=["deepseek", "glm"])
def test_a_second_prompt_after_a_shared_prefix_gives_what_it_gives_alone(
    tmp_path: Path, architecture: Architecture
) -> None:
    where = save_tiny(tmp_path / "tiny", architecture)
    for spec in ("index-cache:every=2", "step-reuse:every=3"):
        model, runtime = load_swapped(str(where), torch.float32, "cpu")
        session = Session(model, runtime, chunk=128, stop_ids=[])
        session.answer(TOKENS, parse(spec), 5, probe=False)
        other = [*TOKENS[:200], *reversed(TOKENS[200:])]
        reused = session.answer(other, parse(spec), 5, probe=False)
        assert reused.n_reused_tokens == 128
        session.forget()
        assert session.answer(other, parse(spec), 5, probe=False).ids == reused.ids
