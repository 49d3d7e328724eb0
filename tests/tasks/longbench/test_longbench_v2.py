"""LongBench v2: data, prompts and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hisa_tasks.longbench import LongBenchV2Task, PromptTooLongError, score
from hisa_tasks.longbench.v2 import cut_middle
from hisa_tasks.sample import Tokenizer


def question(number: int, **changed: Any) -> dict[str, Any]:
    choices = {f"choice_{letter}": f" choice {letter}{number}\n" for letter in "ABCD"}
    plain = {
        "_id": f"q{number}",
        "domain": "Single-Document QA",
        "sub_domain": "Legal",
        "difficulty": "hard",
        "length": "short",
        "question": f"What is ${number}?  ",
        "answer": "ABCD"[number % 4],
        "context": f"\n A long text of {number}, word by word.\n",
    }
    return {**plain, **choices, **changed}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.json").write_text(json.dumps([question(n) for n in range(8)]), "utf-8")
    return tmp_path


def test_the_prompt(folder: Path, byte_tokenizer: Tokenizer) -> None:
    sample = next(LongBenchV2Task(str(folder), partial=True).iterate(byte_tokenizer))
    assert sample.prompt == (
        "Please read the following text and answer the question below.\n\n<text>\n"
        "A long text of 0, word by word.\n"
        "</text>\n\nWhat is the correct answer to this question: What is $0?\nChoices:\n(A) choice A0\n"
        "(B) choice B0\n(C) choice C0\n(D) choice D0\n\n"
        'Format your response as follows: "The correct answer is (insert answer here)".'
    )
    assert sample.id == "longbench-v2/q0"
    assert sample.references == ("A",)
    assert sample.max_new_tokens == 128
    assert (sample.meta["difficulty"], sample.meta["length_class"]) == ("hard", "short")
    assert score(sample, "The correct answer is (A).") == 1.0
    assert score(sample, "The correct answer is (B).") == 0.0


def test_lists_lines_and_files_give_the_same(folder: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps(question(n)) + "\n" for n in range(8)), "utf-8")
    found = [LongBenchV2Task(str(place), partial=True) for place in (folder, folder / "data.json", lines)]
    assert found[0].questions == found[1].questions == found[2].questions
    assert found[0].data_hash() == found[1].data_hash() != found[2].data_hash()
    assert len(LongBenchV2Task(str(folder), samples=3, partial=True).questions) == 3
    assert found[0].describe()["asked"] == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([question(0)], "has 1 rows and the official file 503 – "),
        ([question(0, context=None)], "entry 0: field 'context' is null, not text – "),
        ([question(0, answer="E")], "entry 0: field 'answer' is 'E', not one of A, B, C, D – "),
        ([question(0), 5], "entry 1 is no JSON object – "),
        ([question(0), question(0)], "two rows with the _id 'q0' – "),
        ("[{", r"data.json is not valid JSON \(.*\) – get https"),
        ([], "has no rows"),
    ],
)
def test_damaged_files(tmp_path: Path, content: Any, message: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "data.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        LongBenchV2Task(str(tmp_path))


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"data.json is not in .* – get https://huggingface.co/.*LongBench-v2"
    ):
        LongBenchV2Task(str(tmp_path))
    with pytest.raises(ValueError, match=r"there is no data at .*nowhere – get"):
        LongBenchV2Task(str(tmp_path / "nowhere"))


def test_cuts(folder: Path, byte_tokenizer: Tokenizer) -> None:
    assert cut_middle("0123456789", 5, byte_tokenizer) == ("01789", 10, 5)
    assert cut_middle("0123456789", 4, byte_tokenizer) == ("0189", 10, 4)
    assert cut_middle("0123456789", 10, byte_tokenizer) == ("0123456789", 10, 10)
    with pytest.raises(PromptTooLongError):
        list(LongBenchV2Task(str(folder), partial=True, max_prompt_tokens=50).iterate(byte_tokenizer))
    short = LongBenchV2Task(str(folder), partial=True, max_prompt_tokens=51, truncate="middle")
    sample = next(short.iterate(byte_tokenizer))
    assert sample.n_prompt_tokens == 51
    assert sample.meta["n_cut"] > 0
