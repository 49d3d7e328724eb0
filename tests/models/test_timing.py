"""The stopwatches: a number of tokens that is given, from nothing, those of an ordinary answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import ARCHITECTURES, save_tiny

from hisa_eval.indexers.dsa import DsaIndexer
from hisa_eval.indexers.hisa import HisaIndexer
from hisa_eval.models.transformers_dsa.model import TransformersModel
from hisa_eval.models.transformers_dsa.session import Session
from hisa_eval.models.transformers_dsa.timing import StockStopwatch, SwappedStopwatch

TOKENS = [(7 * at) % 250 + 4 for at in range(300)]


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp(str(request.param))
    return save_tiny(where, ARCHITECTURES[request.param])


@pytest.fixture(scope="module")
def model(folder: Path) -> TransformersModel:
    return TransformersModel(folder, name="tiny", description="", device="cpu")


def test_the_stock_model_in_chunks_gives_flat_dsas_tokens(folder: Path, model: TransformersModel) -> None:
    stock = StockStopwatch(folder, device="cpu", dtype=torch.float32, topk=model.topk, chunk=128)
    own = model.stopwatch().time(TOKENS, DsaIndexer(), 6)
    found = stock.time(TOKENS, None, 6)
    assert found.ids == own.ids
    assert found.first > 0
    assert found.following > 0
    assert found.setup == 0


def test_the_stock_model_takes_another_budget(folder: Path) -> None:
    few = StockStopwatch(folder, device="cpu", dtype=torch.float32, topk=8, chunk=128)
    assert few._model.config.index_topk == 8
    indexers = [layer.self_attn.indexer for layer in few._model.model.layers]
    assert all(one.index_topk == 8 for one in indexers if one is not None)


def test_an_answer_begins_from_nothing_and_no_token_ends_it(model: TransformersModel) -> None:
    watch = model.stopwatch()
    answers = [watch.time(TOKENS, one, 5) for one in (DsaIndexer(), HisaIndexer(), DsaIndexer())]
    assert answers[0].ids == answers[2].ids
    assert {len(one.ids) for one in answers} == {5}
    session = Session(model._model, model._runtime, chunk=64, stop_ids=[])
    session.answer(TOKENS, DsaIndexer(), 2)
    assert session.answer(TOKENS, DsaIndexer(), 2).n_reused_tokens == 256
    session.forget()
    assert session.answer(TOKENS, DsaIndexer(), 2).n_reused_tokens == 0


def test_stop_tokens_of_the_model_do_not_count(model: TransformersModel) -> None:
    first = model.stopwatch().time(TOKENS, DsaIndexer(), 3).ids[0]
    stopped = Session(model._model, model._runtime, chunk=64, stop_ids=[first])
    assert stopped.answer(TOKENS, DsaIndexer(), 3).ids == []


def test_steps_are_made_once_and_not_counted(model: TransformersModel) -> None:
    session = Session(model._model, model._runtime, chunk=64, stop_ids=[], decoding="steps")
    watch = SwappedStopwatch(session, "cpu")
    first, second = (watch.time(TOKENS, DsaIndexer(), 5) for _ in range(2))
    assert first.decoding == "steps"
    assert first.ids == second.ids == model.stopwatch().time(TOKENS, DsaIndexer(), 5).ids
    assert first.setup > 0
    assert second.setup < first.setup
    assert second.following > 0
