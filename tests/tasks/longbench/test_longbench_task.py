"""Settings of the task: which rows, which cut, what is recorded."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hisa_tasks.longbench import LongBenchTask, PromptTooLongError
from hisa_tasks.longbench.subsample import subsample
from hisa_tasks.longbench.totals import averages, category_scores, official_score
from hisa_tasks.sample import Tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, classes in (("qasper", None), ("samsum_e", None), ("trec", ["City", "Date"]), ("lcc", None)):
        rows = [
            {
                "_id": f"{name}{number}",
                "input": f"Question {number}?",
                "context": f"Context {number // 2}. " * 20,
                "answers": ["City"],
                "length": 3999 + number,
                "all_classes": classes,
            }
            for number in range(30)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def task(folder: Path, *names: str, **settings: Any) -> LongBenchTask:
    return LongBenchTask(names, data=str(folder), partial=True, **settings)


def test_a_sample_says_how_it_is_asked_and_scored(folder: Path, byte_tokenizer: Tokenizer) -> None:
    samples = {s.id: s for s in task(folder, "qasper", "samsum_e", "trec", "lcc").iterate(byte_tokenizer)}
    assert len(samples) == 120
    plain, shots = samples["longbench/qasper/qasper0"], samples["longbench/samsum_e/samsum_e1"]
    assert (plain.max_new_tokens, shots.max_new_tokens) == (128, 128)
    assert (plain.meta["chat_template"], shots.meta["chat_template"]) == (True, False)
    assert (plain.stop, shots.stop) == ((), ("\n",))
    assert "bucket" not in plain.meta
    assert [samples[f"longbench/samsum_e/samsum_e{n}"].meta["bucket"] for n in (0, 1)] == ["0-4k", "4-8k"]
    assert plain.group == samples["longbench/qasper/qasper1"].group
    assert plain.group != samples["longbench/qasper/qasper2"].group
    assert samples["longbench/trec/trec0"].meta["all_classes"] == ["City", "Date"]
    assert samples["longbench/lcc/lcc0"].meta["code_similarity"] == "difflib"
    json.dumps([dict(one.meta) for one in samples.values()])


def test_a_long_prompt_is_never_cut_silently(folder: Path, byte_tokenizer: Tokenizer) -> None:
    strict = task(folder, "qasper", max_prompt_tokens=400)
    with pytest.raises(
        PromptTooLongError, match=r"qasper0 has a prompt of \d+ tokens, more than the 400 "
    ) as error:
        list(strict.iterate(byte_tokenizer))
    assert error.value.limit == 400
    cut = next(task(folder, "qasper", max_prompt_tokens=400, truncate="middle").iterate(byte_tokenizer))
    whole = next(task(folder, "qasper").iterate(byte_tokenizer))
    assert cut.n_prompt_tokens == 400
    assert cut.meta["n_whole_prompt_tokens"] == whole.n_prompt_tokens == error.value.n_tokens
    assert cut.meta["n_cut"] == whole.n_prompt_tokens - 400
    assert (whole.prompt[:200], whole.prompt[-200:]) == (cut.prompt[:200], cut.prompt[200:])
    assert whole.meta["n_cut"] == 0


def test_small_choices_lie_inside_large_ones(folder: Path) -> None:
    chosen = [
        {row.id for row in task(folder, "qasper", samples=n).rows("qasper")} for n in (1, 5, 10, 20, 30, 99)
    ]
    assert [len(one) for one in chosen] == [1, 5, 10, 20, 30, 30]
    assert all(small <= large for small, large in pairwise(chosen))
    assert chosen[2] != {f"qasper{n}" for n in range(10)}
    other = {row.id for row in task(folder, "qasper", samples=10, seed=1).rows("qasper")}
    assert other != chosen[2]


def test_a_choice_does_not_depend_on_the_order_of_the_rows() -> None:
    ids = [f"row{n}" for n in range(500)]
    forward = subsample(ids, 50, key=str)
    backward = subsample(ids[::-1], 50, key=str)
    assert set(forward) == set(backward)
    assert list(forward) == [one for one in ids if one in set(forward)]
    first_half = sum(int(one[3:]) < 250 for one in forward)
    assert 10 < first_half < 40
    with pytest.raises(ValueError, match="a sub-sample of 0 – take 1 or more"):
        subsample(ids, 0, key=str)


def test_the_data_hash_follows_every_byte(folder: Path) -> None:
    plain = task(folder, "qasper")
    assert plain.data_hash() == task(folder, "qasper").data_hash()
    assert plain.data_hash() != task(folder, "qasper", samples=10).data_hash()
    assert plain.data_hash() != task(folder, "qasper", truncate="middle").data_hash()
    facts = plain.describe()["datasets"]["qasper"]
    assert (facts["rows"], facts["official_rows"], facts["asked"]) == (30, 200, 30)
    file = folder / "qasper.jsonl"
    file.write_bytes(file.read_bytes().replace(b"Question 29?", b"Question 30?"))
    changed = task(folder, "qasper")
    assert changed.data_hash() != plain.data_hash()
    assert changed.describe()["datasets"]["qasper"]["file_sha256"] != facts["file_sha256"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"truncate": "left"}, "unknown truncation 'left' – known: error, middle"),
        ({"max_prompt_tokens": 1}, "the prompt limit is 1 tokens – "),
        ({"samples": 0}, "samples is 0 – take 1 or more"),
        ({"code_similarity": "jaro"}, "unknown code similarity 'jaro' – known: difflib, rapidfuzz"),
        ({"datasets": ()}, "no data set is named – "),
    ],
)
def test_wrong_settings(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LongBenchTask(**{"datasets": ("qasper",), "data": str(folder), "partial": True, **settings})


def test_table_1() -> None:
    from hisa_tasks.longbench.catalog import CATEGORIES, DATASETS, EXTENDED

    means = {name: place / 100 for place, name in enumerate(DATASETS)}
    found = category_scores(means)
    assert [CATEGORIES[key].short for key in found] == ["SQA", "MQA", "Sum", "FS", "Syn", "Code"]
    assert [len(one.datasets) for one in found.values()] == [4, 4, 4, 4, 3, 2]
    assert [round(100 * one.mean, 6) for one in found.values()] == [1.5, 5.5, 9.5, 13.5, 17.0, 19.5]
    overall = averages(means)
    assert overall.paper == pytest.approx((1.5 + 5.5 + 9.5 + 13.5 + 17.0 + 19.5) / 600)
    assert overall.lm_eval == pytest.approx(0.10)
    assert overall.complete
    del means["lcc"]
    part = averages(means)
    assert not part.complete
    assert category_scores(means)["code"].missing == ("lcc",)
    assert averages(dict.fromkeys(EXTENDED, 0.5)).complete
    with pytest.raises(ValueError, match="LongBench and LongBench-E are mixed – average them apart"):
        averages({"qasper": 1.0, "qasper_e": 1.0})
    with pytest.raises(ValueError, match="no scores to average"):
        official_score([])
