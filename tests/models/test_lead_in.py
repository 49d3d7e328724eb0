"""The row that gives the first token of an answer: behind the space that leads in, where that is a token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from hisa_eval.fidelity.frame import Frame, spread_rows
from hisa_eval.fidelity.measure import choose
from hisa_eval.indexers.registry import parse
from hisa_eval.models import registry
from hisa_eval.models.errors import CellError
from hisa_eval.models.lead_in import lead_in
from hisa_eval.models.tokens import CheckpointTokenizer
from hisa_eval.models.transformers_dsa.capture import capture_frames
from hisa_eval.models.transformers_dsa.model import TransformersModel
from hisa_tasks.niah import NiahTask
from hisa_tasks.sample import Sample

TOPK = 128
DEPTHS = (10.0, 50.0, 80.0)


def merging(folder: Path, *merges: tuple[str, str]) -> CheckpointTokenizer:
    """Byte-level, with some pairs merged."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: number for number, text in enumerate([*letters, *map("".join, merges)])}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return CheckpointTokenizer(folder)


def test_a_token_a_byte_has_the_space_alone() -> None:
    nano = registry.tokenizer("nano")
    assert nano.decode(lead_in(nano, "8543209")) == " "
    assert nano.decode(lead_in(nano, "élan")) == " "
    assert lead_in(nano, "") == []


def test_a_space_that_is_merged_with_the_answer_leads_nowhere(tmp_path: Path) -> None:
    digits = merging(tmp_path, ("Ġ", "8"), ("5", "4"))
    assert digits.decode(digits.encode(" 8543")[:1]) == " 8"
    assert lead_in(digits, "8543") == []
    assert digits.decode(lead_in(digits, "5438")) == " "


def test_half_a_letter_is_the_answers_own(tmp_path: Path) -> None:
    # The space takes the first of the two bytes of é.
    half = merging(tmp_path, ("Ġ", "Ã"))
    assert len(half.encode(" é")) == 2
    assert lead_in(half, "élan") == []


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    loaded = registry.load("nano", device="cpu", topk=TOPK)
    assert isinstance(loaded, TransformersModel)
    return loaded


def asked(model: TransformersModel, depth: float) -> Sample:
    return NiahTask(max_new_tokens=16).sample(4096, depth, int(depth), model.tokenizer)


def found(frames: list[Frame], row: int) -> list[int]:
    """How many of the answer's tokens flat DSA selects for a row, layer by layer."""
    chosen = [choose(frame, parse("dsa"), TOPK)[row] for frame in frames]
    return [
        int(torch.isin(torch.tensor(frame.evidence), own).sum())
        for frame, own in zip(frames, chosen, strict=True)
    ]


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_answering_row_looks_the_answer_up_and_the_prompts_last_row_does_not(
    model: TransformersModel, depth: float
) -> None:
    sample = asked(model, depth)
    frames = model.capture(sample, rows=4, attention=False)
    assert {frame.lead_in for frame in frames} == {1}
    n = sample.n_prompt_tokens
    assert frames[0].ends.tolist() == [row + 1 for row in spread_rows(n, 4, 0, n)]
    assert frames[0].k.shape[0] == n + 1
    assert len(frames[0].evidence) == len(sample.references[0]) == 7
    assert max(found(frames, -1)) >= 4
    # Without the space the row before it would be taken for the one that answers.
    tokens, evidence = model._encode(sample)
    model._session.reset()
    alone = capture_frames(
        model._model, model._runtime, tokens, [n - 1], chunk=2048, attention=False, evidence=evidence
    )
    assert found(alone, -1) == [0, 0, 0]


def test_what_leads_in_changes_no_row_of_the_prompt(model: TransformersModel) -> None:
    sample = asked(model, 50.0)
    led, plain = (
        model.capture(one, rows=12, attention=False) for one in (sample, replace(sample, references=()))
    )
    n = sample.n_prompt_tokens
    assert plain[0].lead_in == 0
    assert plain[0].ends[-1] == n
    for one, other in zip(led, plain, strict=True):
        same = int((one.ends < n).sum())
        assert same >= 11
        for name in ("q", "weights", "ends"):
            torch.testing.assert_close(getattr(one, name)[:same], getattr(other, name)[:same])
        torch.testing.assert_close(one.k[:n], other.k)


def test_the_space_needs_room_in_the_models_context(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = replace(asked(model, 50.0), max_new_tokens=0)
    limit = "max_position_embeddings"
    monkeypatch.setattr(model._model.config, limit, sample.n_prompt_tokens + 1)
    assert model.capture(sample, rows=1, attention=False)
    monkeypatch.setattr(model._model.config, limit, sample.n_prompt_tokens)
    with pytest.raises(CellError, match="exceed the model's context"):
        model.capture(sample, rows=1, attention=False)
