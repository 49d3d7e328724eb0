"""The rows of mini: the same bytes everywhere, answerable from their context, of the size they say."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from statistics import fmean

import pytest

from hisa_tasks.longbench.catalog import CATEGORIES, DATASETS, MINI
from hisa_tasks.longbench.rows import Row
from hisa_tasks.longbench.scoring import score_answer
from hisa_tasks.mini import MiniTask, score
from hisa_tasks.mini.rows import SIZES, contexts, dataset_bytes
from hisa_tasks.sample import Tokenizer

SHA256 = {
    "lookup": "9ba28d259726d552d1a0fad1e96dc6f2758f99822773edd0ef1399a4828e6283",
    "two_documents": "65827532717bf54f1a8cc447a61127f09c98261f0652f59a39782d73baf15b80",
    "main_point": "d2a095f13442e0bf0fc8e508749670d173f6e3f9004fbce44297376b151c13b2",
    "label": "5e27a44625f1fdb4cecc3025b5adc5d8074b6f44d8a936e68ae404a24c0f2f55",
    "passage": "566a98d297bd054fb9c96d3597f928c2d47a140e7d550ca9335678ce5e721dfb",
    "count": "90772dee6e3f23837d22f31a1531e3f1c7a5a043eb3a4ee123bf2b23dbbb3b41",
    "call": "e963a9cebcef6a4e8374f092b16f8c15781387ba78a70e0da127f35ba5910105",
}


def rows(name: str) -> tuple[Row, ...]:
    return MiniTask((name,)).rows(name)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, pattern
    return match[1]


def read_lookup(question: str, context: str) -> str:
    key = found(r"The (\w+ of \w+) is$", question)
    return " " + found(rf"the {key} is (\w+\.)", context)


def read_two_documents(question: str, context: str) -> str:
    key = found(r"The (\w+ of \w+) and the harbour are$", question)
    person = found(rf"the {key} is (\w+)\.", context)
    harbour = found(rf"{person} sails from (\w+)\.", context)
    return f" {person}, {harbour}."


def read_main_point(question: str, context: str) -> str:
    key = found(r"concerning (\w+) is that$", question)
    return " " + found(rf"concerning {key} is that ([^.]*\.)", context)


def read_label(question: str, context: str) -> str:
    cue = found(r" (\w+)\nIntent:$", question)
    return " " + found(rf" {cue}\nIntent: (\w+)", context)


def read_passage(question: str, context: str) -> str:
    title = found(r'Reply: "(.+)" is Paragraph$', question)
    return " " + found(rf"{title} \(Paragraph (\d+)\)", context)


def read_count(question: str, context: str) -> str:
    lamp = found(r"of the (\w+) is$", question)
    return f" {context.count(f'At dusk a boy lit the {lamp} (')}."


def read_call(question: str, context: str) -> str:
    function = found(r"= (\w+)\($", question)
    return found(rf"def {function}\((.*\)):", context)


ORACLES: dict[str, Callable[[str, str], str]] = {
    "lookup": read_lookup,
    "two_documents": read_two_documents,
    "main_point": read_main_point,
    "label": read_label,
    "passage": read_passage,
    "count": read_count,
    "call": read_call,
}
MOST_BY_MISTAKE = {"main_point": 0.75, "label": 0.5, "call": 0.6}
"""Scores that answers to other questions may reach: they share words, labels or brackets."""


def mean(name: str, answer: Callable[[Row, str, str], str]) -> float:
    return fmean(
        score_answer(name, row.answers, answer(row, row.input, row.context), row.all_classes)
        for row in rows(name)
    )


def test_every_category_and_no_name_of_longbench() -> None:
    assert {one.category for one in MINI.values()} == set(CATEGORIES)
    assert not set(MINI) & set(DATASETS)
    assert set(ORACLES) == set(MINI)


@pytest.mark.parametrize("name", MINI)
def test_the_bytes_are_pinned(name: str) -> None:
    assert hashlib.sha256(dataset_bytes(name)).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", MINI)
def test_an_oracle_that_reads_the_context_is_right(name: str) -> None:
    assert mean(name, lambda row, question, context: ORACLES[name](question, context)) > 0.999_999


@pytest.mark.parametrize("name", MINI)
def test_an_oracle_that_reads_for_another_question_is_not(name: str) -> None:
    own = rows(name)
    others = {
        row.id: next(one for one in own if one.context == row.context and one.answers != row.answers)
        for row in own
        if any(one.context == row.context and one.answers != row.answers for one in own)
    }
    assert len(others) >= 15
    wrong = fmean(
        score_answer(name, row.answers, ORACLES[name](other.input, other.context), row.all_classes)
        for row in own
        if (other := others.get(row.id)) is not None
    )
    assert wrong <= MOST_BY_MISTAKE.get(name, 0.0)


@pytest.mark.parametrize("name", MINI)
def test_without_the_evidence_the_answer_is_gone(name: str) -> None:
    for made in contexts(name):
        for question in made.context.questions:
            assert all(one in made.context.text for one in question.evidence)
            if name not in ("count", "label", "passage"):
                bare = made.context.text
                for one in question.evidence:
                    bare = bare.replace(one, "")
                assert not any(answer in bare for answer in question.answers)


@pytest.mark.parametrize("name", MINI)
def test_sizes_hold_prompt_and_answer(name: str, byte_tokenizer: Tokenizer) -> None:
    samples = list(MiniTask((name,)).iterate(byte_tokenizer))
    sizes = [size for size, count in SIZES.items() for _ in range(3 * count)]
    assert len(samples) == len(sizes) == MINI[name].n_rows
    for sample, size in zip(samples, sizes, strict=True):
        assert 0.75 * size < sample.length <= size
        assert sample.id == f"mini/{name}/{sample.meta['row']}"
        assert (sample.task, sample.meta["chat_template"]) == ("mini", False)
    assert len({sample.group for sample in samples}) == sum(SIZES.values())


def test_questions_on_one_context_differ() -> None:
    for name in MINI:
        assert len({(row.input, row.context) for row in rows(name)}) == len(rows(name))
        assert len({row.id for row in rows(name)}) == len(rows(name))


def test_counts_and_labels_are_spread() -> None:
    assert {row.answers[0] for row in rows("count")} == set("12345")
    assert len({row.answers[0] for row in rows("label")}) >= 6


def test_the_task_scores_its_samples(byte_tokenizer: Tokenizer) -> None:
    for sample in MiniTask(("count", "label"), samples=2).iterate(byte_tokenizer):
        assert score(sample, f" {sample.references[0]}.") == 1.0
        assert score(sample, " 77") == 0.0


def test_sub_samples_are_nested() -> None:
    ten, five = ({row.id for row in MiniTask(("lookup",), samples=n).rows("lookup")} for n in (10, 5))
    assert five < ten


def test_names_stand_for_data_sets() -> None:
    assert MiniTask().names == tuple(MINI)
    assert MiniTask(("synthetic", "lookup")).names == ("lookup", "passage", "count")
    for wrong in ("qasper", "e", "lookups"):
        with pytest.raises(ValueError, match="mini has no"):
            MiniTask((wrong,))
    with pytest.raises(ValueError, match="reads no files"):
        MiniTask(data="somewhere")


def test_what_is_described_names_every_byte() -> None:
    facts = MiniTask(("count",)).describe()
    assert facts["task"] == "mini"
    assert facts["datasets"]["count"]["file_sha256"] == SHA256["count"]
    assert json.loads(json.dumps(facts)) == facts
    assert MiniTask().data_hash() != MiniTask(samples=20).data_hash()
