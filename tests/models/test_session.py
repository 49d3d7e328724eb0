"""Prefix reuse, skipping of unneeded rows, HISA's exact range, evidence and failures, on the nano model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hisa_eval.indexers.registry import parse
from hisa_eval.models import registry
from hisa_eval.models.errors import CellError
from hisa_eval.models.transformers_dsa.model import TransformersModel
from hisa_eval.models.transformers_dsa.session import Session
from hisa_tasks.niah import NiahTask, score
from hisa_tasks.sample import Sample

CHUNK = 256


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    """Nano with a small budget and small chunks, so that everything happens at short lengths."""
    loaded = registry.load("nano", device="cpu", topk=256)
    assert isinstance(loaded, TransformersModel)
    loaded._session._chunk = CHUNK
    return loaded


def sample(model: TransformersModel, length: int, depth: float, index: int = 0) -> Sample:
    return NiahTask(max_new_tokens=16).sample(length, depth, index, model.tokenizer)


@pytest.mark.parametrize("spec", ["dsa", "hisa:block_size=32,num_blocks=16", "block-sparse:block_size=32"])
def test_a_reused_prefix_changes_nothing(model: TransformersModel, spec: str) -> None:
    indexer = parse(spec)
    first, second = sample(model, 1500, 90.0), sample(model, 1500, 40.0)
    model._session.reset()
    fresh = model.generate(second, indexer)
    assert fresh.n_reused_tokens == 0
    model._session.reset()
    model.generate(first, indexer)
    after = model.generate(second, indexer)
    assert after.n_reused_tokens >= CHUNK
    assert after.n_reused_tokens % CHUNK == 0
    assert (after.text, after.selection) == (fresh.text, fresh.selection)


def test_another_indexer_reuses_nothing(model: TransformersModel) -> None:
    model.generate(sample(model, 1000, 50.0), parse("dsa"))
    answer = model.generate(sample(model, 1000, 50.0), parse("hisa:block_size=32,num_blocks=16"))
    assert answer.n_reused_tokens == 0


def test_within_its_candidate_budget_hisa_is_dsa(model: TransformersModel) -> None:
    hisa = parse("hisa:block_size=32,num_blocks=32")  # exact up to 1024 tokens
    for depth in (0.0, 50.0, 100.0):
        asked = sample(model, 1024, depth)
        with_dsa, with_hisa = model.generate(asked, parse("dsa")), model.generate(asked, hisa)
        assert with_hisa.text == with_dsa.text
        for layer in with_hisa.selection["layers"]:
            assert layer["all"]["iou_min"] == 1.0
            assert layer["beyond"]["rows"] == 0
            assert layer["last_row"]["iou"] == 1.0


def test_beyond_it_the_selections_differ(model: TransformersModel) -> None:
    answer = model.generate(sample(model, 1500, 50.0), parse("hisa:block_size=32,num_blocks=8"))
    beyond = [layer["beyond"] for layer in answer.selection["layers"]]
    assert all(figures["rows"] > 0 for figures in beyond)
    assert min(figures["iou_min"] for figures in beyond) < 1.0


def test_skipping_rows_of_the_last_layer_changes_nothing(model: TransformersModel) -> None:
    tokens = model.tokenizer.encode(sample(model, 900, 20.0).prompt)
    session = model._session
    hidden = []
    for first_row in (0, len(tokens) - 1):
        session.reset()
        model._runtime.begin(parse("dsa"))
        with torch.inference_mode():
            hidden.append(session._forward(tokens, 0, first_row)[0, -1])
    session.reset()
    # One row alone takes another path through the matrix products than all rows together.
    assert torch.allclose(*hidden, rtol=1e-4, atol=1e-4)


def test_answers_the_needle_and_says_where_it_was(model: TransformersModel) -> None:
    asked = sample(model, 1200, 50.0)
    answer = model.generate(asked, parse("dsa"))
    assert score(asked, answer.text) == 1.0
    assert answer.finish_reason == "stop"
    assert answer.n_prompt_tokens == asked.n_prompt_tokens
    assert max(layer["evidence"] for layer in answer.selection["layers"]) > 0.5


def test_without_the_probe_nothing_is_compared(model: TransformersModel) -> None:
    assert model.generate(sample(model, 600, 50.0), parse("dsa"), probe=False).selection == {}


def test_a_context_too_long_is_a_cell_error(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model._model.config, "max_position_embeddings", 512)
    with pytest.raises(CellError, match="exceed the model's context of 512"):
        model.generate(sample(model, 600, 50.0), parse("dsa"))


def test_memory_that_runs_out_is_a_cell_error_and_leaves_a_clean_session(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_args: object, **_kwargs: object) -> None:
        raise MemoryError("no room")

    asked = sample(model, 600, 50.0)
    with monkeypatch.context() as patch:
        patch.setattr(Session, "_forward", exhausted)
        with pytest.raises(CellError, match="out of memory: no room"):
            model.generate(asked, parse("dsa"))
    assert model.generate(asked, parse("dsa")).n_reused_tokens == 0


def test_a_stop_text_ends_an_answer_but_never_opens_it(model: TransformersModel) -> None:
    asked = sample(model, 600, 50.0)
    plain = model.generate(asked, parse("dsa"))
    assert plain.finish_reason == "stop" or plain.n_generated == asked.max_new_tokens
    first, later = plain.text[0], next(one for one in plain.text[1:] if one != plain.text[0])
    stopped = model.generate(replace(asked, stop=(later,)), parse("dsa"))
    assert stopped.finish_reason == "stop"
    assert stopped.text == plain.text[: plain.text.index(later)]
    opened = model.generate(replace(asked, stop=(first,)), parse("dsa"))
    assert opened.n_generated >= 1
    assert first not in opened.text
