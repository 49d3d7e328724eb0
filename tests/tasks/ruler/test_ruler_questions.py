"""Files of questions: what is read from them, what is made of them, what is said where they are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hisa_tasks.ruler import RulerTask, score
from hisa_tasks.ruler.qa_files import HOTPOTQA, SQUAD, QaFormat, load
from hisa_tasks.sample import Tokenizer

Make = Callable[..., RulerTask]
DOCUMENT = re.compile(r"(?:^|\n\n)Document \d+:\n")


def documents_of(prompt: str) -> list[str]:
    body = prompt.split("The following are given documents.\n\n")[1].rpartition("\n\nAnswer the question")[0]
    return DOCUMENT.split(body)[1:]


def test_squad_is_read(qa_folder: Path) -> None:
    file = load(SQUAD, "qa_1", str(qa_folder))
    assert (len(file.documents), len(file.questions)) == (150, 150)
    assert list(file.documents) == sorted(set(file.documents))
    for number, question in enumerate(file.questions):
        assert question.text == f"Who is the keeper of hall {number}?"
        (own,) = question.documents
        assert f"hall {number} is {question.answers[0]}" in file.documents[own]
        assert len(question.related) == 4
        halls = {int(re.findall(r"hall (\d+)", file.documents[i])[0]) for i in (own, *question.related)}
        assert halls == set(range(number - number % 5, number - number % 5 + 5))
        assert [file.documents[i][start:end] for i, start, end in question.evidence] == list(question.answers)


def test_hotpotqa_is_read(qa_folder: Path) -> None:
    file = load(HOTPOTQA, "qa_2", str(qa_folder / "hotpotqa.json"))
    raw = json.loads((qa_folder / "hotpotqa.json").read_text("utf-8"))
    assert len(file.questions) == len(raw) == 150
    for row, question in zip(raw, file.questions, strict=True):
        assert question.text == row["question"]
        assert question.answers == (row["answer"],)
        assert [file.documents[i] for i in question.documents] == [
            title + "\n" + "".join(sentences) for title, sentences in row["context"]
        ]
        facts = sorted(file.documents[i][start:end] for i, start, end in question.evidence)
        assert len(facts) == 2
        assert any(" is " in fact for fact in facts)
        assert any(fact.endswith(f" plays the {row['answer']}.") for fact in facts)


@pytest.mark.parametrize("name", ["qa_1", "qa_2"])
def test_all_documents_but_one_are_whole(name: str, make_task: Make, byte_tokenizer: Tokenizer) -> None:
    places: set[int] = set()
    for index in range(30):
        task = make_task(name)
        file = task.recipe.file  # type: ignore[attr-defined]
        sample = task.sample(9000, 0, index, byte_tokenizer)
        question = file.questions[sample.meta["question"]]
        shown = documents_of(sample.prompt)
        cut = [i for i, document in enumerate(shown) if document not in file.documents]
        assert len(cut) == 1
        places.add(cut[0])
        assert {file.documents[i] for i in question.documents} <= set(shown)
        assert len(shown) == len(set(shown)) == sample.meta["n_documents"]
        assert sample.references == question.answers
        spans = {sample.prompt[slice(*span)] for span in sample.evidence}
        assert spans == {file.documents[i][start:end] for i, start, end in question.evidence}
    assert len(places) > 4


def test_related_paragraphs_come_first(make_task: Make, byte_tokenizer: Tokenizer) -> None:
    for index in range(10):
        sample = make_task("qa_1").sample(5000, 0, index, byte_tokenizer)
        halls = re.findall(r"The keeper of hall (\d+) is", sample.prompt)
        asked = int(re.findall(r"hall (\d+)\?", sample.prompt)[0])
        article = set(range(asked - asked % 5, asked - asked % 5 + 5))
        assert len(article & {int(hall) for hall in halls}) == 5


def test_longer_than_the_file(make_task: Make, byte_tokenizer: Tokenizer) -> None:
    """All documents come again, the needed one too."""
    sample = make_task("qa_1").sample(200_000, 0, 0, byte_tokenizer)
    shown = documents_of(sample.prompt)
    assert len(shown) > 300
    assert 2 <= len(sample.evidence) // 2 <= 3
    assert {sample.prompt[slice(*span)] for span in sample.evidence} == set(sample.references)


def test_questions_are_drawn_and_nested(make_task: Make, byte_tokenizer: Tokenizer) -> None:
    def numbers(length: int, seed: int) -> list[int]:
        task = make_task("qa_1", seed=seed)
        return [task.sample(length, 0, index, byte_tokenizer).meta["question"] for index in range(150)]

    at_4k = numbers(4000, 0)
    assert sorted(at_4k) == list(range(150))
    assert at_4k == numbers(5000, 0)
    assert at_4k != numbers(4000, 1)
    with pytest.raises(
        ValueError, match=r"sample index 150 is beyond the 150 questions of .* – ask for fewer"
    ):
        make_task("qa_1").sample(4000, 0, 150, byte_tokenizer)


def test_real_paragraphs(shared_data: Path, byte_tokenizer: Tokenizer, gpt_tokenizer: Tokenizer) -> None:
    """XQuAD: a reader who knows where each answer stands finds it in the prompt's own text."""
    path = shared_data / "ruler" / "xquad.en.json"
    where = {
        asked["question"]: (paragraph["context"], answer["answer_start"], len(answer["text"]))
        for article in json.loads(path.read_text("utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
        for answer in asked["answers"][:1]
    }
    task = RulerTask("qa_1", data=str(path))
    for tokenizer, length, n_samples in ((byte_tokenizer, 16384, 100), (gpt_tokenizer, 131072, 2)):
        for index in range(n_samples):
            sample = task.sample(length, 0, index, tokenizer)
            assert len(tokenizer.encode(sample.prompt)) + 32 == length
            question = sample.prompt.rpartition("\n\nQuestion: ")[2].removesuffix(" Answer:")
            context, start, size = where[question]
            found = sample.prompt.index(context) + start
            answer = sample.prompt[found : found + size]
            assert (found, found + size) in sample.evidence
            assert score(sample, f" {answer}.") == 1.0
            assert score(sample, answer[::-1]) == float(answer.lower() == answer[::-1].lower())


def test_real_hotpotqa_passages(shared_data: Path, tmp_path: Path, gpt_tokenizer: Tokenizer) -> None:
    """Passages of real HotpotQA questions (as LongBench stores them), in HotpotQA's own format."""
    text = (shared_data / "longbench" / "hotpotqa.jsonl").read_text("utf-8")
    rows = []
    for row in (json.loads(line) for line in text.split("\n") if line):
        passages = [part.strip().split("\n", 1) for part in re.split(r"Passage \d+:\n", row["context"])[1:]]
        context = [[title, re.split(r"(?<=\.)(?= )", body)] for title, body in passages]
        rows.append({"question": row["input"], "answer": row["answers"][0], "context": context[:4]})
    (tmp_path / "hotpot_dev_distractor_v1.json").write_text(json.dumps(rows), "utf-8")
    task = RulerTask("qa_2", data=str(tmp_path))
    for index in range(len(rows)):
        sample = task.sample(32768, 0, index, gpt_tokenizer)
        assert len(gpt_tokenizer.encode(sample.prompt)) + 32 == 32768
        row = rows[sample.meta["question"]]
        for title, sentences in row["context"]:
            assert f":\n{title}\n{''.join(sentences)}\n\n" in sample.prompt


@pytest.mark.parametrize(("name", "format_"), [("qa_1", SQUAD), ("qa_2", HOTPOTQA)])
def test_missing_file_is_one_line_with_file_source_and_remedy(
    name: str, format_: QaFormat, tmp_path: Path
) -> None:
    for data in (None, str(tmp_path), str(tmp_path / "none.json")):
        with pytest.raises(ValueError, match=r"^[^\n]+ – download http[^\n]+ --data$") as error:
            RulerTask(name, data=data)
        assert format_.url in str(error.value)
        assert format_.title in str(error.value)
        assert name in str(error.value)
        assert (data or format_.file_names[0]) in str(error.value)
    assert RulerTask("vt", data=str(tmp_path / "none.json")).name == "vt"


GOOD = {"question": "q", "answers": [{"text": "a", "answer_start": 0}]}


def squad_of(*questions: Any, context: Any = "a b") -> Any:
    return {"data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("qa_1", b"{]", "is not JSON: Expecting property name"),
        ("qa_1", b"\xff\xfe", "is not UTF-8 at byte 0"),
        ("qa_1", b"[" * 100_000, "is nested too deeply"),
        ("qa_1", squad_of({**GOOD, "question": "\ud800"}), "holds half a surrogate pair, no character"),
        ("qa_1", b"[]", "is not SQuAD 2.0"),
        ("qa_1", {"rows": []}, "a record has no field 'data'"),
        ("qa_1", squad_of({"question": "q"}), "a record has no field 'answers'"),
        ("qa_1", squad_of({**GOOD, "answers": []}), "a question has no answer, or an empty one"),
        ("qa_1", squad_of({**GOOD, "question": 7}), "a question or an answer is no text"),
        ("qa_1", squad_of(GOOD, context=None), "is not SQuAD 2.0"),
        ("qa_1", squad_of({**GOOD, "is_impossible": True}), "has no question that can be answered"),
        ("qa_2", {"data": []}, "is not HotpotQA"),
        ("qa_2", [{"question": "q", "answer": "a"}], "a record has no field 'context'"),
        ("qa_2", [{"question": "q", "answer": "", "context": [["t", ["s"]]]}], "or an empty one"),
        ("qa_2", [{"question": "q", "answer": "a", "context": [["t"]]}], "is not HotpotQA"),
        ("qa_2", [], "has no question that can be answered"),
    ],
)
def test_wrong_file_is_one_line(name: str, content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode("utf-8"))
    with pytest.raises(ValueError, match=r"^file [^\n]+ – download http[^\n]+ again$") as error:
        RulerTask(name, data=str(path))
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_file_of_one_paragraph(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    """No other document is there to be cut: noise stands in."""
    (tmp_path / "squad.json").write_text(json.dumps(squad_of(GOOD)), "utf-8")
    for length in (800, 3001):
        sample = RulerTask("qa_1", data=str(tmp_path)).sample(length, 0, 0, byte_tokenizer)
        assert len(byte_tokenizer.encode(sample.prompt)) + 32 == length
        cut = [document for document in documents_of(sample.prompt) if document != "a b"]
        assert len(cut) == 1
        assert cut[0].startswith("The grass is green.")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    hashes = []
    for text in ("a b", "a b c"):
        path.write_text(json.dumps(squad_of(GOOD, context=text)), "utf-8")
        hashes.append(RulerTask("qa_1", data=str(tmp_path)).data_hash())
    assert hashes[0] != hashes[1]
