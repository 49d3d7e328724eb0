"""Files of questions and documents, in the formats of SQuAD and HotpotQA."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Question:
    """One question, and which documents go with it.

    Attributes:
        text: The question.
        answers: Expected answers, any of which is right.
        documents: Indices of the documents that must stand in the context.
        related: Indices of the documents that come first as distractors.
        evidence: Document index and half-open character span in that document, of what holds the answer.
    """

    text: str
    answers: tuple[str, ...]
    documents: tuple[int, ...]
    related: tuple[int, ...]
    evidence: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, eq=False)
class QaFile:
    """A file's questions and distinct documents; documents are sorted.

    Attributes:
        path: Of the file.
        sha256: Of its bytes.
        documents: Texts.
        questions: In the file's order.
    """

    path: str
    sha256: str
    documents: tuple[str, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class QaFormat:
    """A data set that questions can be read from.

    Attributes:
        name: `"squad"` or `"hotpotqa"`.
        title: As people call it.
        url: Where it is.
        file_names: Names that it may have in a folder; the first one is that of the URL.
        read: Makes documents and questions of the parsed file.
    """

    name: str
    title: str
    url: str
    file_names: tuple[str, ...]
    read: Callable[[Any], tuple[list[str], list[Question]]]


def _ranked(documents: list[str]) -> tuple[list[str], dict[str, int]]:
    distinct = sorted(set(documents))
    return distinct, {document: index for index, document in enumerate(distinct)}


def read_squad(data: Any) -> tuple[list[str], list[Question]]:
    """Paragraphs are documents, related if of one article; unanswerable questions are left out.

    Source: NVIDIA/RULER, scripts/data/synthetic/qa.py.
    """
    articles = data["data"]
    documents, index_of = _ranked([p["context"] for article in articles for p in article["paragraphs"]])
    questions = []
    for article in articles:
        whole = tuple(dict.fromkeys(index_of[p["context"]] for p in article["paragraphs"]))
        for paragraph in article["paragraphs"]:
            own = index_of[paragraph["context"]]
            related = tuple(index for index in whole if index != own)
            for asked in paragraph["qas"]:
                if asked.get("is_impossible", False):
                    continue
                answers = tuple(answer["text"] for answer in asked["answers"])
                places = [(answer["text"], answer.get("answer_start", -1)) for answer in asked["answers"]]
                spans = {
                    (own, start, start + len(text))
                    for text, start in places
                    if start >= 0 and documents[own].startswith(text, start)
                }
                questions.append(Question(asked["question"], answers, (own,), related, tuple(sorted(spans))))
    return documents, questions


def read_hotpotqa(data: Any) -> tuple[list[str], list[Question]]:
    """A title with its paragraph is a document; a question needs all of its own; evidence are its facts.

    Source: NVIDIA/RULER, scripts/data/synthetic/qa.py.
    """

    def document(title: str, sentences: list[str]) -> str:
        return f"{title}\n{''.join(sentences)}"

    documents, index_of = _ranked([document(*pair) for asked in data for pair in asked["context"]])
    questions = []
    for asked in data:
        facts = {(title, number) for title, number in asked.get("supporting_facts", ())}
        spans = set()
        for title, sentences in asked["context"]:
            own, start = index_of[document(title, sentences)], len(title) + 1
            for number, sentence in enumerate(sentences):
                if (title, number) in facts and sentence.strip():
                    lead = len(sentence) - len(sentence.lstrip())
                    spans.add((own, start + lead, start + len(sentence.rstrip())))
                start += len(sentence)
        needed = tuple(dict.fromkeys(index_of[document(*pair)] for pair in asked["context"]))
        questions.append(Question(asked["question"], (asked["answer"],), needed, (), tuple(sorted(spans))))
    return documents, questions


SQUAD = QaFormat(
    "squad",
    "SQuAD 2.0, development set",
    "https://rajpurkar.github.io/SQuAD-explorer/dataset/dev-v2.0.json",
    ("dev-v2.0.json", "squad.json"),
    read_squad,
)
HOTPOTQA = QaFormat(
    "hotpotqa",
    "HotpotQA, development set, distractor setting",
    "http://curtis.ml.cmu.edu/datasets/hotpot/hotpot_dev_distractor_v1.json",
    ("hotpot_dev_distractor_v1.json", "hotpotqa.json"),
    read_hotpotqa,
)
FORMATS = {format_.name: format_ for format_ in (SQUAD, HOTPOTQA)}


def find_file(format_: QaFormat, task: str, data: str | None) -> Path:
    """The file of questions.

    Args:
        format_: What it holds.
        task: That needs it, for the error.
        data: Path of the file, or of a folder that holds it under one of its usual names.

    Raises:
        ValueError: It is not there; the one line says what to get, where, and how to name it.
    """
    get = f"download {format_.url} and name the file or its folder with --data"
    if not data:
        raise ValueError(
            f"task {task} asks about {format_.title} ({format_.file_names[0]}), which is not shipped – {get}"
        )
    path = Path(data)
    if path.is_dir():
        for name in format_.file_names:
            if (path / name).is_file():
                return path / name
        raise ValueError(
            f"folder {path} has no {' or '.join(format_.file_names)}, which task {task} needs "
            f"({format_.title}) – {get}"
        )
    if not path.is_file():
        raise ValueError(f"file {path}, which task {task} needs ({format_.title}), does not exist – {get}")
    return path


def load(format_: QaFormat, task: str, data: str | None) -> QaFile:
    """Reads a file of questions, once as long as it does not change.

    Args:
        format_: What it holds.
        task: That needs it, for errors.
        data: See `find_file`.

    Raises:
        ValueError: The file is missing, cannot be read, or is not of the format.
    """
    path = find_file(format_, task, data)
    try:
        facts = path.stat()
        return _load(format_.name, path, facts.st_mtime_ns, facts.st_size)
    except OSError as error:
        raise ValueError(f"file {path} cannot be read: {error.strerror} – make it readable") from None


@lru_cache(maxsize=4)
def _load(format_name: str, path: Path, mtime: int, size: int) -> QaFile:
    format_ = FORMATS[format_name]
    again = f"download {format_.url} again"
    raw = path.read_bytes()
    try:
        data = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"file {path} is not UTF-8 at byte {error.start} – {again}") from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"file {path} is not JSON: {error.msg} in line {error.lineno}, column {error.colno} – {again}"
        ) from None
    except RecursionError:
        raise ValueError(f"file {path} is not {format_.title}: it is nested too deeply – {again}") from None
    try:
        documents, questions = format_.read(data)
        if not all(isinstance(text, str) for asked in questions for text in (asked.text, *asked.answers)):
            raise TypeError("a question or an answer is no text")
        if not all(asked.answers and all(asked.answers) for asked in questions):
            raise TypeError("a question has no answer, or an empty one")
        for text in (*documents, *(asked.text for asked in questions)):
            text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"file {path} holds half a surrogate pair, no character – {again}") from None
    except KeyError as error:
        raise ValueError(
            f"file {path} is not {format_.title}: a record has no field {error} – {again}"
        ) from None
    except (TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"file {path} is not {format_.title}: {reason} – {again}") from None
    if not questions:
        raise ValueError(f"file {path} has no question that can be answered – {again}")
    return QaFile(str(path), hashlib.sha256(raw).hexdigest(), tuple(documents), tuple(questions))
