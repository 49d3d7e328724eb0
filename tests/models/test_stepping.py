"""Decoding in steps gives what eager decoding gives: tokens, reasons, evidence; on a GPU by a CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch

from hisa_eval.indexers.base import Indexer
from hisa_eval.indexers.dsa import DsaIndexer
from hisa_eval.indexers.newest import newest_selector
from hisa_eval.indexers.registry import parse
from hisa_eval.models import registry
from hisa_eval.models.transformers_dsa import stepping
from hisa_eval.models.transformers_dsa.cache import room_for
from hisa_eval.models.transformers_dsa.model import TransformersModel
from hisa_eval.models.transformers_dsa.session import Answer, Decoding, Session
from hisa_eval.models.transformers_dsa.stepping import LOOK, Stepper
from hisa_tasks.niah import NiahTask

CHUNK = 256
SPECS = [
    "dsa",
    "hisa:block_size=32,num_blocks=16",
    "hisa:block_size=32,num_blocks=8,forced=none,pooling=max",
    "block-sparse:block_size=32",
]
GPU = [
    pytest.param(("cuda", "bf16", "graph"), marks=pytest.mark.gpu, id="cuda-bf16"),
    pytest.param(("cuda", "f32", "graph"), marks=pytest.mark.gpu, id="cuda-f32"),
]


@pytest.fixture(scope="module", params=[pytest.param(("cpu", "f32", "steps"), id="cpu"), *GPU])
def place(request: pytest.FixtureRequest) -> tuple[str, str, Decoding]:
    """Device, dtype and how steps run there."""
    if request.param[0] == "cuda" and not torch.cuda.is_available():
        pytest.fail("this test needs a CUDA device: run it on a GPU machine, or drop -m gpu")
    return request.param


def load(place: tuple[str, str, Decoding]) -> TransformersModel:
    """Nano with a small budget and small chunks, so that everything happens at short lengths."""
    loaded = registry.load("nano", device=place[0], dtype=place[1], topk=256)
    assert isinstance(loaded, TransformersModel)
    return loaded


def session_of(model: TransformersModel, decoding: Decoding, stop_ids: Sequence[int] = (1,)) -> Session:
    return Session(model._model, model._runtime, chunk=CHUNK, stop_ids=stop_ids, decoding=decoding)


@pytest.fixture(scope="module")
def model(place: tuple[str, str, Decoding]) -> TransformersModel:
    return load(place)


def prompt(model: TransformersModel, length: int, depth: float = 50.0) -> tuple[list[int], list[int]]:
    asked = NiahTask(max_new_tokens=16).sample(length, depth, 0, model.tokenizer)
    return model._encode(asked)


def ask(session: Session, asked: tuple[list[int], list[int]], indexer: Indexer, room: int = 24) -> Answer:
    return session.answer(asked[0], indexer, room, evidence=asked[1])


def facts(answer: Answer) -> tuple[Any, ...]:
    return answer.ids, answer.finish_reason, answer.selection


@torch.inference_mode()
def poison(session: Session) -> None:
    """NaN wherever the session holds no token."""
    for buffer in session._cache._buffers():
        buffer.rows[buffer.length :] = torch.nan


@pytest.mark.parametrize("spec", SPECS)
def test_same_answers_over_prompts_of_all_lengths(
    model: TransformersModel, place: tuple[str, str, Decoding], spec: str
) -> None:
    indexer = parse(spec)
    eager, steps = session_of(model, "eager"), session_of(model, place[2])
    moved = []
    for length, depth in ((500, 50.0), (1500, 80.0), (1500, 20.0), (4200, 50.0), (700, 0.0)):
        asked = prompt(model, length, depth)
        wanted = facts(ask(eager, asked, indexer))
        assert facts(ask(steps, asked, indexer)) == wanted
        moved.append(steps._cache.places())
        poison(steps)
        assert facts(ask(steps, asked, indexer)) == wanted
    assert moved[0] == moved[2] != moved[3] == moved[4], "4200 tokens do not fit the first room"
    assert steps.decoding == place[2]
    assert [type(one) for one in steps._steppers.values()] == [Stepper]


def test_a_prefix_survives_a_move(model: TransformersModel, place: tuple[str, str, Decoding]) -> None:
    long, indexer = prompt(model, 4500)[0], parse(SPECS[1])
    session = session_of(model, place[2])
    session.answer(long[:3900], indexer, 24)
    after = session.answer(long, indexer, 24)
    assert after.n_reused_tokens == 3900 // CHUNK * CHUNK
    assert facts(after) == facts(session_of(model, "eager").answer(long, indexer, 24))


def test_a_stop_token_anywhere(model: TransformersModel, place: tuple[str, str, Decoding]) -> None:
    """Every place in and around the steps between two looks, and every limit."""
    asked, indexer = prompt(model, 600), parse("dsa")
    free = ask(session_of(model, "eager", stop_ids=()), asked, indexer, 3 * LOOK).ids
    assert len(free) == 3 * LOOK
    steps = session_of(model, place[2], stop_ids=())
    for limit in (0, 1, 2, LOOK, LOOK + 1, LOOK + 2, 2 * LOOK + 3):
        answer = ask(steps, asked, indexer, limit)
        assert (answer.ids, answer.finish_reason) == (free[:limit], "length")
    for stop in dict.fromkeys(free):
        eager = facts(ask(session_of(model, "eager", stop_ids=[stop]), asked, indexer, 3 * LOOK))
        steps._stop_ids = frozenset([stop])
        assert facts(ask(steps, asked, indexer, 3 * LOOK)) == eager
        assert eager[:2] == (free[: free.index(stop)], "stop")


def test_sessions_and_indexers_take_turns(model: TransformersModel, place: tuple[str, str, Decoding]) -> None:
    other = load(place)
    asked = [prompt(model, length) for length in (400, 900)]
    wanted = {
        (spec, at): facts(ask(session_of(model, "eager"), one, parse(spec)))
        for spec in SPECS[:2]
        for at, one in enumerate(asked)
    }
    sessions = session_of(model, place[2]), session_of(other, place[2])
    for turn in range(2):
        for session in sessions:
            for spec in SPECS[:2]:
                at = (turn + (session is sessions[0])) % 2
                assert facts(ask(session, asked[at], parse(spec))) == wanted[spec, at]
    assert all(len(session._steppers) == 2 for session in sessions)


def test_an_input_that_may_be_infinite_is_left_to_eager_decoding(
    model: TransformersModel, place: tuple[str, str, Decoding], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, indexer = prompt(model, 600), parse(SPECS[1])
    wanted = facts(ask(session_of(model, "eager", ()), asked, indexer, 3 * LOOK))
    inner, calls = Stepper.run, []

    def run(self: Stepper, limit: int) -> Any:
        for token in inner(self, limit):
            calls.append(token)
            if len(calls) == LOOK:
                self._checksum.fill_(torch.inf)
            yield token

    monkeypatch.setattr(Stepper, "run", run)
    assert facts(ask(session_of(model, place[2], ()), asked, indexer, 3 * LOOK)) == wanted
    assert calls == wanted[0][1 : LOOK + 1]


class Stranger(DsaIndexer):
    """Selects in its own way, but inherits a selector for new tokens that does not."""

    def select(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().select(*args, **kwargs)[:, -100:]


class Plain:
    """An indexer with the protocol's members alone."""

    name = label = "plain"
    settings: dict[str, Any] = {}  # noqa: RUF012

    def exact_below(self, topk: int) -> int:
        return topk

    def new_state(self) -> None:
        return None

    def select(self, *args: Any, state: object = None, **kwargs: Any) -> torch.Tensor:
        return DsaIndexer().select(*args, **kwargs)


@pytest.mark.parametrize("cls", [Stranger, Plain])
def test_an_indexer_without_a_selector_of_its_own_decodes_eagerly(
    model: TransformersModel, place: tuple[str, str, Decoding], cls: type
) -> None:
    indexer, asked = cast(Indexer, cls()), prompt(model, 600)
    assert newest_selector(indexer, torch.zeros(4, 8), 2, 3, (1, 4)) is None
    session = session_of(model, place[2])
    assert facts(ask(session, asked, indexer)) == facts(ask(session_of(model, "eager"), asked, indexer))
    assert not session._steppers


def test_a_ratio_decodes_eagerly(model: TransformersModel, place: tuple[str, str, Decoding]) -> None:
    indexer, asked = parse("hisa:block_size=32,ratio=4"), prompt(model, 600)
    assert facts(ask(session_of(model, place[2]), asked, indexer)) == facts(
        ask(session_of(model, "eager"), asked, indexer)
    )


def test_a_model_that_cannot_be_captured_decodes_eagerly(
    model: TransformersModel, place: tuple[str, str, Decoding], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, indexer = prompt(model, 600), parse("dsa")
    wanted = facts(ask(session_of(model, "eager"), asked, indexer))

    def refuse(*_args: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(stepping.Stepper, "_captured", refuse)
    session = session_of(model, "graph")
    with pytest.warns(UserWarning, match="without a CUDA graph, which is slow: operation not permitted"):
        assert facts(ask(session, asked, indexer)) == wanted
    assert session.decoding == "eager"
    assert facts(ask(session, asked, indexer)) == wanted


def test_rooms_are_few_and_not_much_too_large() -> None:
    for length in (1, 7, 4096, 4097, 131072, 131073, 1 << 20, (1 << 20) + 1):
        assert length <= room_for(length) <= max(length + 4096, length + length // 8)
    assert len({room_for(length) for length in range(120_000, 131_073)}) <= 3
