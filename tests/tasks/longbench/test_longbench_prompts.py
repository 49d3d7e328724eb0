"""Prompts are the official ones, byte for byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from hisa_tasks.longbench.catalog import DATASETS, EXTENDED
from hisa_tasks.longbench.prompt import build_prompt, cut_middle, template_hash, templates
from hisa_tasks.longbench.task import LongBenchTask
from hisa_tasks.sample import Tokenizer

GOLDEN = json.loads(Path(__file__).with_name("golden-prompts.json").read_text("utf-8"))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", DATASETS)
def test_templates(name: str) -> None:
    golden = GOLDEN["datasets"][name]
    assert template_hash(templates()[name]) == golden["template"]
    made_up = GOLDEN["made_up"]
    assert sha256(build_prompt(name, made_up["input"], made_up["context"])) == golden["made_up"]


def test_every_data_set_has_a_template() -> None:
    assert set(templates()) == set(DATASETS) == set(GOLDEN["datasets"])
    assert template_hash(templates("v2-prompts.json")["0shot"]) == GOLDEN["v2_template"]


def test_one_prompt_word_for_word() -> None:
    assert build_prompt("triviaqa_e", "Question: Who?\nAnswer:", "Shots") == (
        "Answer the question based on the given passage. Only give me the answer and do not output any other "
        "words. The following are some examples.\n\nShots\n\nQuestion: Who?\nAnswer:"
    )
    assert build_prompt("lcc", "not used", "x = 1\n") == (
        "Please complete the code given below. \nx = 1\nNext line of code:\n"
    )


@pytest.mark.parametrize("name", DATASETS)
def test_row_0_of_the_real_rows(name: str, shared_data: Path, byte_tokenizer: Tokenizer) -> None:
    task = LongBenchTask((name,), data=str(shared_data / "longbench"), partial=True)
    sample = task.sample(name, task.loaded[name].rows[0], byte_tokenizer)
    golden = GOLDEN["datasets"][name]
    assert sample.meta["row"] == golden["row"]
    assert (len(sample.prompt), sha256(sample.prompt)) == (golden["characters"], golden["prompt"])
    assert sample.n_prompt_tokens == len(byte_tokenizer.encode(sample.prompt))
    assert sample.length == sample.n_prompt_tokens + DATASETS[name].max_new_tokens


def test_every_real_row_is_asked_and_scored(shared_data: Path, byte_tokenizer: Tokenizer) -> None:
    from hisa_tasks.longbench.scoring import score

    samples = list(LongBenchTask(data=str(shared_data / "longbench"), partial=True).iterate(byte_tokenizer))
    assert len(samples) == 134
    assert len({sample.id for sample in samples}) == 134
    for sample in samples:
        first = sample.references[0]
        assert score(sample, first) > 0.99, sample.id
        assert sample.meta["n_cut"] == 0
    groups = [sample.group for sample in samples if sample.meta["dataset"] == "narrativeqa"]
    assert len(set(groups)) < len(groups), "questions on one story form a group"


@pytest.mark.parametrize(
    ("limit", "kept"), [(10, "01234bcdef"), (11, "01234bcdef"), (16, "0123456789abcdef")]
)
def test_the_middle_is_cut(limit: int, kept: str, byte_tokenizer: Tokenizer) -> None:
    cut = cut_middle("0123456789abcdef", limit, byte_tokenizer)
    assert cut == (kept, 16, len(kept))


def test_a_cut_inside_a_character_is_counted_as_it_is_sent(byte_tokenizer: Tokenizer) -> None:
    cut = cut_middle("é" * 8, 6, byte_tokenizer)
    assert cut.n_before == 16
    assert cut.n_after == len(byte_tokenizer.encode(cut.text)) != 6


def test_editions() -> None:
    assert len(DATASETS) == 21
    assert len(EXTENDED) == 13
    assert sum(one.n_rows for one in DATASETS.values()) == 4750
    assert sum(one.n_rows_e for one in DATASETS.values()) == 8418 - 4750
    assert {name for name, one in DATASETS.items() if not one.chat_template} == {
        "trec", "triviaqa", "samsum", "lsht", "lcc", "repobench-p",
    }  # fmt: skip
