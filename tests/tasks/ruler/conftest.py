"""Question files in the formats of SQuAD and HotpotQA, made of generated prose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hisa_tasks.niah import NiahTask
from hisa_tasks.niah.needles.words import word_list
from hisa_tasks.ruler import TASKS, RulerTask

N_ARTICLES = 30
PARAGRAPHS = 5


def _sentences(byte_tokenizer: Any) -> list[str]:
    text = NiahTask(seed=5).sample(120_000, 50, 0, byte_tokenizer).prompt.split("afterwards.\n")[1]
    return [f"{part}." for part in text.split("\nWhat is")[0].replace("\n\n", " ").split(". ")]


def _name(number: int) -> str:
    adjectives, nouns = word_list("adjectives"), word_list("nouns")
    return f"{adjectives[number % 400].title()} {nouns[(7 * number) % 580].title()}"


def squad_data(sentences: list[str]) -> dict[str, Any]:
    """Articles about keepers of halls; every paragraph names one, and one question of each has no answer."""
    articles = []
    for article in range(N_ARTICLES):
        paragraphs = []
        for paragraph in range(PARAGRAPHS):
            number = article * PARAGRAPHS + paragraph
            filler = sentences[4 * number : 4 * number + 4]
            start = " ".join(filler[:2]) + f" The keeper of hall {number} is "
            context = f"{start}{_name(number)}, as ever. " + " ".join(filler[2:])
            answers = [
                {"text": _name(number), "answer_start": len(start)},
                {
                    "text": _name(number).split()[1],
                    "answer_start": len(start) + len(_name(number).split()[0]) + 1,
                },
            ]
            asked = {
                "question": f"Who is the keeper of hall {number}?",
                "answers": answers,
                "id": str(number),
            }
            nothing = {"question": f"Who sold hall {number}?", "answers": [], "id": f"x{number}"}
            paragraphs.append(
                {
                    "context": context,
                    "qas": [{**asked, "is_impossible": False}, {**nothing, "is_impossible": True}],
                }
            )
        articles.append({"title": f"Article {article}", "paragraphs": paragraphs})
    return {"version": "v2.0", "data": articles}


def hotpot_data(sentences: list[str]) -> list[dict[str, Any]]:
    """Questions that take two documents: who keeps a hall, and what that person plays; ten documents each."""
    documents = []
    for number in range(150):
        filler = sentences[2 * number : 2 * number + 2]
        documents.append(
            (f"Hall {number}", [filler[0], f" The keeper of hall {number} is {_name(number)}.", " Yes."])
        )
        documents.append(
            (_name(number), [f"{_name(number)} plays the {_name(number + 200)}.", f" {filler[1]}"])
        )
    rows = []
    for number in range(150):
        own = [documents[2 * number], documents[2 * number + 1]]
        others = [documents[(2 * number + 37 * step) % len(documents)] for step in range(1, 9)]
        rows.append(
            {
                "_id": f"h{number}",
                "question": f"What does the keeper of hall {number} play?",
                "answer": _name(number + 200),
                "supporting_facts": [[own[0][0], 1], [own[1][0], 0], [own[1][0], 9]],
                "context": [list(document) for document in (*others[:4], *own, *others[4:])],
            }
        )
    return rows


@pytest.fixture(scope="session")
def qa_folder(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: Any) -> Path:
    """A folder with both files under the names that RULER's script gives them."""
    folder = tmp_path_factory.mktemp("qa")
    sentences = _sentences(byte_tokenizer)
    (folder / "squad.json").write_text(json.dumps(squad_data(sentences)), "utf-8")
    (folder / "hotpotqa.json").write_text(json.dumps(hotpot_data(sentences)), "utf-8")
    return folder


@pytest.fixture(scope="session")
def make_task(qa_folder: Path) -> Callable[..., RulerTask]:
    """A task by its name, with the question files where it needs them."""

    def make(name: str, **settings: Any) -> RulerTask:
        if TASKS[name].data_set:
            settings.setdefault("data", str(qa_folder))
        return RulerTask(name, **settings)

    return make
