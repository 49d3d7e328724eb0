"""No time for a wrong choice: every kind of mistake turns a row red."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hisa_kernels.measure import own
from hisa_kernels.measure.attention import AttentionInputs, make_attention
from hisa_kernels.measure.bench import measure
from hisa_kernels.measure.case import Case
from hisa_kernels.measure.ceilings import Ceilings
from hisa_kernels.measure.decode import PAGE, DecodeInputs, make_decode
from hisa_kernels.measure.gate import agreement
from hisa_kernels.measure.inputs import Inputs
from hisa_kernels.measure.pipeline import Contestant, Stage, Unavailable
from hisa_kernels.measure.records import Records
from hisa_kernels.measure.references import reference, reference_attention, reference_flat, reference_hisa

CEILINGS = Ceilings(1e10, {"f32": 1e11})
Spoil = Callable[[SimpleNamespace], None]


def outcome(contestant: Contestant, case: Case, folder: Path) -> dict[str, Any]:
    records = Records(folder)
    measure([contestant], [case], records, CEILINGS, "cpu", budget_ms=5)
    (record,) = records.finished()
    return record


def spoiled(family: str, spoil: Spoil) -> Contestant:
    def prepare(inputs: Inputs) -> Sequence[Stage]:
        stages = reference_flat(inputs) if family == "flat" else reference_hisa(inputs)
        return [*stages, Stage("spoil", spoil)]

    return Contestant("spoiled", family, prepare)


SELECTORS = [one for one in reference() if one.kind == "selection"]


@pytest.mark.parametrize("contestant", SELECTORS, ids=lambda one: one.name)
@pytest.mark.parametrize("dtype", ["fp8", "bf16", "f32"])
def test_the_reference_passes_and_is_timed(
    contestant: Contestant, dtype: str, small: Case, tmp_path: Path
) -> None:
    case = Case(**{**vars(small), "dtype": dtype})
    record = outcome(contestant, case, tmp_path)
    assert record["status"] == "ok", record
    assert record["gate"]["outside_ties"] == 1
    total = record["total"]
    assert 0 < total["p10"] <= total["ms"] <= total["p90"]
    assert total["floor_ms"] > 0


def other_token(state: SimpleNamespace) -> None:
    """One row takes a token that it has no reason to take, for its best one."""
    row = state.indices[-1].long()
    free = torch.ones(1000, dtype=torch.bool)
    free[row[row < 1000]] = False
    state.indices = state.indices.clone()
    state.indices[-1, :32] = free.nonzero()[:32, 0].int()


def twice(state: SimpleNamespace) -> None:
    state.indices = state.indices.clone()
    state.indices[0, 1] = state.indices[0, 0]


def unseen(state: SimpleNamespace) -> None:
    state.indices = state.indices.clone()
    state.indices[0, 0] = 1023


def missing(state: SimpleNamespace) -> None:
    state.indices = state.indices.clone()
    state.indices[0, 0] = -1


@pytest.mark.parametrize("family", ["flat", "hisa"])
@pytest.mark.parametrize("spoil", [other_token, twice, unseen, missing])
def test_a_wrong_choice_is_red_and_has_no_time(
    family: str, spoil: Spoil, small: Case, tmp_path: Path
) -> None:
    record = outcome(spoiled(family, spoil), small, tmp_path)
    assert record["status"] == "red"
    assert record["reason"]
    assert "total" not in record


def test_wrong_blocks_are_red(small: Case, tmp_path: Path) -> None:
    def prepare(inputs: Inputs) -> Sequence[Stage]:
        _, *rest = reference_hisa(inputs)

        def first_ones(state: SimpleNamespace) -> None:
            number = torch.arange(inputs.case.most_blocks, dtype=torch.int32)
            state.blocks = number.expand(inputs.case.queries, -1).contiguous()

        return [Stage("blocks", first_ones), *rest]

    record = outcome(Contestant("first blocks", "hisa", prepare), small, tmp_path)
    assert record["status"] == "red"
    assert "blocks" in record["reason"]


def test_errors_and_absences_are_told_apart(small: Case, tmp_path: Path) -> None:
    def absent(inputs: Inputs) -> Sequence[Stage]:
        raise Unavailable("not installed")

    def broken(inputs: Inputs) -> Sequence[Stage]:
        raise ZeroDivisionError("by zero")

    assert outcome(Contestant("a", "flat", absent), small, tmp_path / "a")["status"] == "unavailable"
    record = outcome(Contestant("b", "flat", broken), small, tmp_path / "b")
    assert record["status"] == "failed"
    assert "ZeroDivisionError: by zero" in record["reason"]


ATTENTION = Case(24, 96, heads=3, dim=80, dtype="bf16", topk=48, kind="attention")


@pytest.mark.parametrize(("factor", "status"), [(1.0, "ok"), (1.05, "red"), (torch.nan, "red")])
def test_attention_is_held_to_a_relative_error(factor: float, status: str, tmp_path: Path) -> None:
    def prepare(inputs: AttentionInputs) -> Sequence[Stage]:
        def spoil(state: SimpleNamespace) -> None:
            state.out = state.out * factor

        return [*reference_attention(inputs), Stage("spoil", spoil)]

    record = outcome(Contestant("attention", "attention", prepare), ATTENTION, tmp_path)
    assert record["status"] == status, record


DECODERS = [one for one in reference() if one.kind == "decode"]
DECODE = Case(3, 192, heads=4, dim=32, topk=64, block_size=32, num_blocks=3, kind="decode")


@pytest.mark.parametrize("contestant", DECODERS, ids=lambda one: one.name)
@pytest.mark.parametrize("spoil", [None, twice, unseen, missing])
def test_decoding_is_held_to_the_reference(
    contestant: Contestant, spoil: Spoil | None, tmp_path: Path
) -> None:
    def prepare(inputs: DecodeInputs) -> Sequence[Stage]:
        return [*contestant.prepare(inputs), *([Stage("spoil", spoil)] if spoil else [])]

    record = outcome(Contestant("one", contestant.family, prepare), DECODE, tmp_path)
    assert record["status"] == ("red" if spoil else "ok"), record


@pytest.mark.parametrize(
    "contestant", [one for one in own.kernels() if one.kind == "decode"], ids=lambda o: o.name
)
def test_decoding_stages_fit_together(
    contestant: Contestant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages on the reference's functions, which the kernels share their signatures with."""
    decode = pytest.importorskip("hisa_kernels.reference.decode")
    monkeypatch.setattr(own, "_load", lambda module, name: getattr(decode, name))
    monkeypatch.setattr(own, "_check_kernels", lambda inputs: None)
    record = outcome(contestant, DECODE, tmp_path)
    assert record["status"] == "ok", record
    names = [stage["name"] for stage in record["stages"]]
    assert all("floor_ms" in stage for stage in record["stages"]), names
    assert names[-1] == ("tokens" if contestant.chooses_blocks else "top-k")


def test_pages_hold_the_same_keys() -> None:
    made = make_decode(DECODE, "cpu")
    for row in range(3):
        pages = made.pages[made.table[row].long()]
        values = pages[:, : PAGE * 32].reshape(-1, 32)
        assert torch.equal(values, made.k[row].view(torch.uint8))
        scales = pages[:, PAGE * 32 :].contiguous().view(torch.float32)
        assert torch.equal(scales.view(-1), made.k_scale[row])


def test_attention_asks_for_distinct_visible_tokens() -> None:
    made = make_attention(Case(80, 96, heads=2, dim=80, dtype="bf16", topk=48, kind="attention"), "cpu")
    for row, seen in zip(made.indices.tolist(), range(17, 97), strict=True):
        there = [one for one in row if one >= 0]
        assert there == sorted(set(there))
        assert row == there + [-1] * (48 - len(there))
        assert len(there) == min(48, seen)
        assert there[-1] < seen


def test_ties_are_nobodys_mistake() -> None:
    scores = torch.tensor([[5.0, 3.0, 3.0, 3.0, 1.0, -torch.inf]])
    quota = torch.tensor([2])
    other_tie = torch.tensor([[True, False, False, True, False, False]])
    found = agreement(scores, other_tie, quota, tie=1e-3)
    assert (found.overlap, found.outside_ties) == (0.5, 1.0)
    worse = torch.tensor([[True, False, False, False, True, False]])
    assert agreement(scores, worse, quota, tie=1e-3).outside_ties == 0.5
    without_best = torch.tensor([[False, True, True, False, False, False]])
    assert agreement(scores, without_best, quota, tie=1e-3).outside_ties == 0.0
