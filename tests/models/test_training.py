"""The trainer's data and losses; a few real steps on the CPU."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from hisa_eval.models.nano.architecture import BYTE_OFFSET, EOS_ID, nano_config
from hisa_eval.models.nano.training import train
from hisa_eval.models.nano.training.attention import (
    IndexerInputs,
    _select,
    build_training_model,
    hidden_states,
)
from hisa_eval.models.nano.training.exercise import Exercise, Maker
from hisa_eval.models.nano.training.kinds import KINDS
from hisa_eval.models.nano.training.needles import NeedleMaker
from hisa_eval.models.nano.training.sequences import (
    ANSWER,
    FIRST,
    FIRST_NAMES,
    build_repeats,
    build_sequence,
)
from hisa_eval.models.nano.training.stages import MINI, PLAIN, Mixture, Recipe, Stage
from hisa_eval.models.nano.training.steps import Stepper
from hisa_eval.models.nano.training.text import haystack


@pytest.mark.parametrize("length", [128, 256, 1024, 4096, 16384])
def test_sequences_have_their_length_and_their_answers_in_the_text(length: int) -> None:
    sequence = build_sequence(length, 8, random.Random(length))
    assert len(sequence.ids) == len(sequence.classes) == length
    text = bytes(max(int(i) - BYTE_OFFSET, 0) for i in sequence.ids)
    ends = np.flatnonzero(sequence.ids == EOS_ID)
    assert len(ends) > 0
    for end in ends:
        first = end
        while sequence.classes[first - 1] >= ANSWER:
            first -= 1
        answer = text[first:end].strip(b" .")
        assert answer in text[:first]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("length", [512, 4096])
def test_other_kinds_ask_what_their_text_answers(
    kind: type[Maker], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hisa_eval.models.nano.training.sequences.KINDS", {kind: 1.0})
    first = FIRST + FIRST_NAMES.index(kind.name)
    asked = 0
    for seed in range(12):
        sequence = build_sequence(length, 6, random.Random(seed), mini=1.0)
        assert len(sequence.ids) == len(sequence.classes) == length
        assert not np.isin(sequence.classes, [FIRST, FIRST + 3]).any()
        text = bytes(max(int(i) - BYTE_OFFSET, 0) for i in sequence.ids)
        for at in np.flatnonzero(np.isin(sequence.classes, [first, first + 3])):
            end = at + int(np.flatnonzero(sequence.ids[at:] == EOS_ID)[0])
            answer = text[at:end].rstrip(b".")
            for part in answer.split(b", ") if kind.name == "chain" else [answer]:
                assert kind.name == "count" or part in text[: at - 1]
            asked += 1
    assert asked >= 12


@pytest.mark.parametrize("kind", [NeedleMaker, *KINDS], ids=lambda kind: kind.name)
def test_questions_come_after_what_answers_them(kind: type[Maker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hisa_eval.models.nano.training.sequences.KINDS", {kind: 1.0})
    made: list[tuple[bytes, ...]] = []
    whole = kind.make

    def recorded(self: Maker) -> Exercise:
        exercise = whole(self)
        asked = b"\n" + exercise.question + exercise.answer + exercise.end + b"\0"
        made.append((*exercise.statements, asked))
        return exercise

    monkeypatch.setattr(kind, "make", recorded)
    n_asked = 0
    for seed in range(8):
        made.clear()
        sequence = build_sequence(8192, 6, random.Random(seed), mini=1.0)
        text = bytes(max(int(i) - BYTE_OFFSET, 0) for i in sequence.ids)
        for *statements, asked in made:
            if asked in text:
                assert all(one in text[: text.index(asked)] for one in statements)
                n_asked += 1
    assert n_asked


def test_counts_are_those_of_the_text() -> None:
    (kind,) = (kind for kind in KINDS if kind.name == "count")
    for seed in range(10):
        maker = kind(random.Random(seed), 4096)
        exercise = maker.make()
        assert len(exercise.statements) == int(exercise.answer)
        assert len(set(exercise.statements)) == int(exercise.answer)
        assert all(str(n).encode() in one for n, one in enumerate(exercise.statements, start=1))


def test_same_seed_same_bytes() -> None:
    one, two = (build_sequence(2048, 16, random.Random(3)) for _ in range(2))
    assert np.array_equal(one.ids, two.ids)


def test_repeats_repeat() -> None:
    sequence = build_repeats(512, random.Random(0))
    assert (sequence.classes > 0).mean() > 0.3


def test_rulers_own_needle_is_held_out() -> None:
    rng = random.Random(0)
    text = b"".join(
        bytes(max(int(i) - BYTE_OFFSET, 0) for i in build_sequence(8192, 64, rng).ids) for _ in range(20)
    )
    assert b"is: " in text
    assert b"One of the special magic numbers for" not in text
    assert b"mentioned in the provided text" not in text


def test_haystacks_have_the_size_asked_for() -> None:
    assert {len(haystack(size, random.Random(size))) for size in (1, 77, 5000)} == {1, 77, 5000}


def test_selection_of_the_sparse_stage_is_causal_and_keeps_the_budget() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = IndexerInputs(
        torch.randn(1, 40, 2, 8, generator=generator),
        torch.randn(1, 40, 8, generator=generator),
        torch.rand(1, 40, 2, generator=generator) + 0.1,
    )
    keep = _select(inputs, 8)[0]
    assert not keep.triu(1).any()
    # Scores that are exactly 0 behind the ReLU tie at the threshold and are all kept.
    assert (keep.sum(1) >= torch.arange(1, 41).clamp(max=8)).all()


def test_trains_saves_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common = ["train", "--recipe", "smoke", "--device", "cpu", "--workers", "0"]
    monkeypatch.setattr("sys.argv", [*common, "--out", str(tmp_path / "a")])
    train.main()
    (record,) = json.loads((tmp_path / "a" / "training.json").read_text())["parts"]
    assert [entry["stage"] for entry in record["log"]] == ["128", "256-sparse", "256", "256", "mixture"]
    assert all(len(entry["kl"]) == 2 and min(entry["kl"]) > 0 for entry in record["log"])
    assert record["log"][3]["block"]
    assert {name.split()[0] for name in record["log"][0]["kinds"]} == {"needle"}
    assert not any(name.startswith("needle") for name in record["log"][1]["kinds"])
    further = ["--start", str(tmp_path / "a"), "--from-stage", "2", "--out", str(tmp_path / "b")]
    monkeypatch.setattr("sys.argv", [*common, *further])
    train.main()
    parts = json.loads((tmp_path / "b" / "training.json").read_text())["parts"]
    assert [len(part["log"]) for part in parts] == [5, 3]


@pytest.mark.parametrize("through", [False, True])
def test_the_indexers_losses_reach_the_backbone_only_where_asked(through: bool) -> None:
    torch.manual_seed(0)
    model, context = build_training_model(nano_config(2))
    context.rows, context.through, context.block_sizes = torch.tensor([[40, 60]]), through, (16,)
    hidden_states(model, torch.randint(3, 259, (1, 64)))
    (torch.stack(context.losses.kl).sum() + torch.stack(context.losses.block).sum()).backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(".indexer." in name for name in reached)
    assert any(".indexer." not in name for name in reached) == through


@pytest.mark.parametrize("recipe", [PLAIN, MINI], ids=["plain", "mini"])
def test_the_recipe_ends_sparse_and_is_deepseeks(recipe: Recipe) -> None:
    stages = [
        one for stage in recipe.stages for one in (stage.parts if isinstance(stage, Mixture) else (stage,))
    ]
    assert stages[-1].budgets
    assert max(stage.length for stage in stages) == 131072
    assert not any(stage.block_sizes or stage.indexer_only or stage.through for stage in stages)
    assert all(stage.mini < 0.75 for stage in stages)


def test_a_mixture_ends_with_the_mean_of_its_weights() -> None:
    """Learning rates of zero leave the mean where it began; a decay of zero keeps the last weights."""
    kept = {}
    for decay in (0.0, 1e-9, 0.9):
        torch.manual_seed(0)
        model, context = build_training_model(nano_config(2))
        before = [p.detach().clone() for p in model.parameters()]
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        parts = tuple(Stage(64, 1, 1, (1.0, 1.0), 1, rows=4, repeats=share) for share in (0.0, 1.0))
        stage = Mixture(parts, lr=(1e-2, 1e-2), average=decay)
        stepper = Stepper(model, context, optimizer, "cpu", graphs=False)
        log = train.train_stage(stepper, stage, seed=1, workers=0, warm_up=1)
        assert log[-1]["step"] == 2
        kept[decay] = [(p.detach() - b).norm() for p, b in zip(model.parameters(), before, strict=True)]
    moved = [float(torch.stack(kept[decay]).norm()) for decay in (0.0, 1e-9, 0.9)]
    assert moved[1] == pytest.approx(moved[0], rel=1e-3)
    assert 0 < moved[2] < 0.3 * moved[0]
