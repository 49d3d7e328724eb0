"""RULER's thirteen tasks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hisa_tasks.niah.needles.catalog import FAMILIES
from hisa_tasks.ruler.base import Recipe
from hisa_tasks.ruler.common_words import CommonWords
from hisa_tasks.ruler.frequent_words import FrequentWords
from hisa_tasks.ruler.qa_files import FORMATS, find_file
from hisa_tasks.ruler.questions import Questions
from hisa_tasks.ruler.retrieval import Retrieval
from hisa_tasks.ruler.texts import template
from hisa_tasks.ruler.uuid_keys import UuidKeyNeedles
from hisa_tasks.ruler.variable_tracking import VariableTracking

Make = Callable[[str, str | None], Recipe]
"""A recipe, given where essays come from and where question files are."""


@dataclass(frozen=True)
class RulerInfo:
    """A task as lists show it.

    Attributes:
        name: RULER's.
        summary: One line.
        category: `"retrieval"`, `"tracing"`, `"aggregation"` or `"question answering"`.
        template: Which of RULER's templates it uses.
        data_set: Format of the file that it needs, `"squad"` or `"hotpotqa"`; empty where it needs none.
        make: Makes its recipe.
    """

    name: str
    summary: str
    category: str
    template: str
    make: Make
    data_set: str = ""

    @property
    def max_new_tokens(self) -> int:
        """RULER's answer room in tokens."""
        return template(self.template).tokens_to_generate

    @property
    def metric(self) -> str:
        """`"string-match-all"` or, for questions, `"string-match-part"`."""
        return "string-match-part" if self.category == "question answering" else "string-match-all"


def _retrieval(name: str, summary: str, needle: str, haystack: str) -> RulerInfo:
    family = UuidKeyNeedles() if needle == "uuid-by-uuid" else FAMILIES[needle]
    return RulerInfo(
        name, summary, "retrieval", "niah", lambda essay, data: Retrieval(family, haystack, essay)
    )


def _questions(name: str, summary: str, source: str) -> RulerInfo:
    return RulerInfo(
        name,
        summary,
        "question answering",
        "questions",
        lambda essay, data: Questions(name, source, data),
        source,
    )


TASKS: dict[str, RulerInfo] = {
    task.name: task
    for task in (
        _retrieval("niah_single_1", "one number in repeated noise", "single-number", "noise"),
        _retrieval("niah_single_2", "one number in running text", "single-number", "essay"),
        _retrieval("niah_single_3", "one UUID in running text", "single-uuid", "essay"),
        _retrieval("niah_multikey_1", "one of four numbers in running text, by its key", "multikey", "essay"),
        _retrieval("niah_multikey_2", "one number by its key, among others only", "single-number", "needles"),
        _retrieval("niah_multikey_3", "one UUID by another, among others only", "uuid-by-uuid", "needles"),
        _retrieval("niah_multivalue", "all four numbers of one key, in running text", "multivalue", "essay"),
        _retrieval("niah_multiquery", "the numbers of four keys, in running text", "multiquery", "essay"),
        RulerInfo(
            "vt",
            "variable tracking: all variables that a value is handed to, in noise",
            "tracing",
            "variable_tracking",
            lambda essay, data: VariableTracking(),
        ),
        RulerInfo(
            "cwe",
            "common words extraction: the ten most common words of a long list",
            "aggregation",
            "common_words",
            lambda essay, data: CommonWords(),
        ),
        RulerInfo(
            "fwe",
            "frequent words extraction: the three most frequent coded words",
            "aggregation",
            "frequent_words",
            lambda essay, data: FrequentWords(),
        ),
        _questions("qa_1", "a question of SQuAD about one paragraph of many", "squad"),
        _questions("qa_2", "a question of HotpotQA that needs two documents of many", "hotpotqa"),
    )
}
"""In RULER's order."""

GROUPS: dict[str, tuple[str, ...]] = {
    "all": tuple(TASKS),
    "without-data": tuple(name for name, task in TASKS.items() if not task.data_set),
    "niah": tuple(name for name in TASKS if name.startswith("niah_")),
    "qa": tuple(name for name, task in TASKS.items() if task.data_set),
}
"""Names that stand for several tasks: what a command may take where tasks are asked for."""


def find_task(name: str) -> RulerInfo:
    """A task by its name.

    Raises:
        ValueError: No task has that name.
    """
    if name in TASKS:
        return TASKS[name]
    close = difflib.get_close_matches(name, TASKS, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"unknown RULER task {name!r} – {hint}known: {', '.join(TASKS)}")


def expand(names: str) -> tuple[str, ...]:
    """The tasks that a comma-separated list names, each once, in RULER's order.

    Args:
        names: Task names and names of groups (`all`, `without-data`, `niah`, `qa`).

    Raises:
        ValueError: A name is unknown, or there is none.
    """
    wanted: set[str] = set()
    for name in filter(None, (part.strip() for part in names.split(","))):
        wanted.update(GROUPS[name] if name in GROUPS else (find_task(name).name,))
    if not wanted:
        raise ValueError(f"no RULER task is named – known: {', '.join((*GROUPS, *TASKS))}")
    return tuple(name for name in TASKS if name in wanted)


def lacking_data(names: Iterable[str], data: str | None) -> dict[str, str]:
    """Which of some tasks have no file of questions, each with the line that says how to get it.

    Args:
        names: Of tasks.
        data: Path of a file, or of a folder that holds files under their usual names.
    """
    lacking = {}
    for task in map(find_task, names):
        if task.data_set:
            try:
                find_file(FORMATS[task.data_set], task.name, data)
            except ValueError as error:
                lacking[task.name] = str(error)
    return lacking


def describe(name: str) -> dict[str, Any]:
    """What a list or a help page says of a task; reads no file of the user's. JSON types only."""
    task = find_task(name)
    parts = template(task.template)
    facts: dict[str, Any] = {
        "name": task.name,
        "summary": task.summary,
        "category": task.category,
        "max_new_tokens": task.max_new_tokens,
        "metric": task.metric,
        "template": parts.before + "{context}" + parts.after,
    }
    if task.data_set:
        format_ = FORMATS[task.data_set]
        facts["data"] = {"title": format_.title, "url": format_.url, "files": list(format_.file_names)}
    return facts
