"""Prompts word for word: RULER's wording, its order of parts, and prompts that may only change on purpose."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hisa_tasks.draws import Draws
from hisa_tasks.niah.needles.ruler import ANSWER_PREFIX, INTRO, QUESTION
from hisa_tasks.ruler import TASKS, RulerTask
from hisa_tasks.ruler.common_words import example_text, numbered, repeated
from hisa_tasks.ruler.questions import titled
from hisa_tasks.ruler.texts import data_sha256, english_words, template
from hisa_tasks.ruler.uuid_keys import UuidKeyNeedles
from hisa_tasks.ruler.variable_tracking import Chain, lines_with, question_about
from hisa_tasks.sample import Tokenizer

Make = Callable[..., RulerTask]
GOLDEN = Path(__file__).parent / "golden"
GOLDEN_LENGTH = {"vt": 2200, "cwe": 2400, "fwe": 1100, "qa_1": 1500, "qa_2": 4000}

# Of the prompt at 8192 byte tokens, sample 1, seed 7.
SHA256: dict[str, str] = {
    "niah_single_1": "ecc9996aba5be16a64705c48cf9dc6b328152113bbe3a86b82ba2326e72ebc8a",
    "niah_single_2": "c5f78f7716c95e8c41a2367a812f0bf63525e601b264eb153d75ab4461a87fbf",
    "niah_single_3": "2d42d130d4d40c75c0dc89e0d4aa2fd845108cedb2ff3412c799fc7decda3ca8",
    "niah_multikey_1": "a069bb833af81a6cda903e27bceab6895ff36fd194df5b46702587a0cd082ef7",
    "niah_multikey_2": "bad58a58bcb27c9067260d1264157b006d8aa55018acd41d41e8ce13723c05b4",
    "niah_multikey_3": "0c126c31003895a4cd146625ee66fdf0fb539d8a7b1f091131f786d7a1cac47e",
    "niah_multivalue": "9fba473bf54bbec30489c5679a792b5a46837581acdab65727a0a78fadb39fd1",
    "niah_multiquery": "c147b2ad7fc9934f4c38425badd385b5fff336077732f33179bade7cc191344a",
    "vt": "4c9135a42d91bab0e17dd8595fedb9d218ce878807d0aa87d38ccf161cf026ed",
    "cwe": "0f816c08e87b015c894468e65cde04b7db229f86d60feda544b937a032a5c3a8",
    "fwe": "7daa861d98c5f7c6af5d534e9ae5476ab86a4a00240286bc4d157ec7fc075355",
    "qa_1": "8ccff841893e2bec828262f24f18d2b8b2db5763c5c7abbec4e5a71a5cd0521e",
    "qa_2": "1d952e54de61cc6c84bc11e779c147faa5dcbae5e6769d02eb878bad2d3344f1",
}

# Of the official file's strings: the template and the answer prefix of each kind, one after the other.
OFFICIAL_SHA256: dict[str, str] = {
    "niah": "d285336585494ddc0ca2f8e54a1e90f1edd4681f5692f08924d545ef6cb499df",
    "variable_tracking": "2cb3a86e01be965089c5be499e300a840c68e3192b5ce177f83caee9e5cd1225",
    "common_words": "c2426f94a28fc3a2228bea1ef58731d02bdc5af948debf900c29e3fdb9a9e19f",
    "frequent_words": "0bfad42dcc7b1cffebe5d8771650746bd15101445e789fa1b0a7145c6fe60de5",
    "questions": "15017066bdc1a1671b611ab9abf216a3fc63957a987b7c59275ca5c958849180",
}


@pytest.mark.parametrize("name", TASKS)
def test_golden_prompt(name: str, byte_tokenizer: Tokenizer, make_task: Make) -> None:
    sample = make_task(name, seed=1).sample(GOLDEN_LENGTH.get(name, 1300), 0, 0, byte_tokenizer)
    references, _, prompt = (GOLDEN / f"{name}.txt").read_text("utf-8").partition("\n----\n")
    assert sample.prompt == prompt
    assert list(sample.references) == references.split("\n")


@pytest.mark.parametrize("name", TASKS)
def test_pinned_prompt(name: str, byte_tokenizer: Tokenizer, make_task: Make) -> None:
    prompt = make_task(name, seed=7).sample(8192, 0, 1, byte_tokenizer).prompt
    assert hashlib.sha256(prompt.encode("utf-8")).hexdigest() == SHA256[name]


def test_templates_are_the_official_ones() -> None:
    for name, digest in OFFICIAL_SHA256.items():
        parts = template(name)
        text = parts.before + "{context}" + parts.after
        assert hashlib.sha256(text.encode("utf-8")).hexdigest() == digest
    niah = template("niah")
    kind = "{type_needle_v}"
    assert niah.before == INTRO.format(kind=kind)
    assert niah.after == (QUESTION + ANSWER_PREFIX).format(kind=kind, query="{query}")
    assert {name: task.max_new_tokens for name, task in TASKS.items() if task.template != "niah"} == {
        "vt": 30,
        "cwe": 120,
        "fwe": 50,
        "qa_1": 32,
        "qa_2": 32,
    }
    assert {task.max_new_tokens for task in TASKS.values() if task.template == "niah"} == {128}


def test_words_are_those_of_the_source() -> None:
    words = english_words()
    assert len(words) == len(set(words)) == 8166
    assert list(words) == sorted(words)
    assert data_sha256("words.txt") == "eede54b6348a4d5dbe9e7e49a0cf567817a24c70475123be9c8d18b7f45ad7ad"


def test_variable_tracking_with_fixed_words() -> None:
    chain = Chain("12345", ("AAAAA", "BBBBB", "CCCCC"))
    assert chain.statements == ("VAR AAAAA = 12345", "VAR BBBBB = VAR AAAAA ", "VAR CCCCC = VAR BBBBB ")
    lines = lines_with([chain], 4, Draws("fixed"))
    assert [line for line in lines if line.startswith("VAR")] == list(chain.statements)
    assert len(lines) == 7
    assert not lines[-1].startswith("VAR")
    assert question_about(chain) == (
        "\nQuestion: Find all variables that are assigned the value 12345 in the text above. Answer: "
        "According to the chain(s) of variable assignment in the text above, 3 variables are assigned "
        "the value 12345, they are: "
    )


def test_common_words_with_fixed_words() -> None:
    assert numbered(["a", "b c"]) == "1. a 2. b c"
    assert numbered(["x"], 12) == "12. x"
    assert sorted(repeated(["a"], 3, ["b", "c"], 2, Draws("fixed"))) == list("aaabbcc")
    assert example_text(["b", "a", "a"], ["a"]) == (
        "Below is a numbered list of words. In these words, some appear more often than others. Memorize the "
        "ones that appear most often.\n1. b 2. a 3. a\nQuestion: What are the 10 most common words in the "
        "above list? Answer: The top 10 words that appear most often in the list are: 1. a"
    )


def test_documents_with_fixed_words() -> None:
    assert titled(3, "Title\nText.") == "Document 3:\nTitle\nText."
    assert template("questions").tail(query="Who {is} it?").endswith("\n\nQuestion: Who {is} it? Answer:")


def test_questions_look_like_rulers(byte_tokenizer: Tokenizer, make_task: Make) -> None:
    sample = make_task("qa_2").sample(8192, 0, 0, byte_tokenizer)
    head, _, rest = sample.prompt.partition("\n\nDocument 1:\n")
    ask = (
        "Answer the question based on the given documents. "
        "Only give me the answer and do not output any other words."
    )
    assert head == f"{ask}\n\nThe following are given documents."
    body, _, tail = rest.rpartition(f"\n\n{ask}\n\nQuestion: ")
    assert tail.endswith("? Answer:")
    numbers = [int(n) for n in re.findall(r"\n\nDocument (\d+):\n", body)]
    assert numbers == list(range(2, sample.meta["n_documents"] + 1))


def test_shape_of_official_rows(shared_data: Path, gpt_tokenizer: Tokenizer, make_task: Make) -> None:
    """With keys and values taken out, our niah_multikey_3 is an official row, but for its last, cut line."""

    def shape(text: str) -> list[str]:
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", text).split("\n")

    rows = (shared_data / "ruler" / "niah_multikey_3.jsonl").read_text("utf-8").split("\n")
    official = {tuple(dict.fromkeys(shape(json.loads(row)["input"]))) for row in rows if row}
    assert len(official) == 1
    ours = shape(make_task("niah_multikey_3").sample(8192, 0, 0, gpt_tokenizer).prompt)
    cut = [line for line in ours if line.startswith("The grass")]
    assert len(cut) == 1
    ours.remove(cut[0])
    assert tuple(dict.fromkeys(ours)) in official
    assert UuidKeyNeedles().describe()["sentence"] == "One of the special magic {kind} for {key} is: {value}."
