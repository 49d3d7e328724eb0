"""Our kernels are called as they are declared: what a machine without a GPU can still see."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest

from hisa_kernels.measure import own
from hisa_kernels.measure.case import Case
from hisa_kernels.measure.kinds import KINDS
from hisa_kernels.measure.pipeline import Contestant, Unavailable

pytest.importorskip("tilelang")

SHAPE: dict[str, Any] = {"heads": 4, "dim": 32, "topk": 64, "block_size": 32, "num_blocks": 3}
CASES = {
    "selection": Case(16, 256, **SHAPE),
    "attention": Case(4, 64, heads=2, dim=96, dtype="bf16", topk=16, kind="attention"),
    "decode": Case(2, 256, **SHAPE, kind="decode"),
}


class Bound(Exception):  # noqa: N818
    """A call agreed with its function's signature."""


def binding(function: Callable[..., Any]) -> Callable[..., Any]:
    """Instead of `function`: checks the arguments and goes no further."""

    def call(*arguments: Any, **named: Any) -> None:
        inspect.signature(function).bind(*arguments, **named)
        raise Bound

    return call


@pytest.mark.parametrize("contestant", own.kernels(), ids=lambda one: one.name)
def test_calls_fit_the_declared_functions(contestant: Contestant, monkeypatch: pytest.MonkeyPatch) -> None:
    load = own._load
    monkeypatch.setattr(own, "_load", lambda module, name: binding(load(module, name)))
    monkeypatch.setattr(own, "_check_kernels", lambda inputs: None)
    stages = contestant.prepare(KINDS[contestant.kind].make(CASES[contestant.kind], "cpu"))
    for stage in stages:
        state = MagicMock()
        if contestant.family == "hisa" and stage.name != "pool":
            state.call = MagicMock(spec=load("select_hisa", "HisaCall"))
            state.call.by_blocks = True
            state.call.blocks = state.call.out = None
            stage.run(state)
            assert state.call.method_calls
        else:
            with pytest.raises(Bound):
                stage.run(state)


@pytest.mark.parametrize("contestant", own.kernels(), ids=lambda one: one.name)
def test_without_a_gpu_they_take_no_part(contestant: Contestant) -> None:
    with pytest.raises(Unavailable):
        contestant.prepare(KINDS[contestant.kind].make(CASES[contestant.kind], "cpu"))
