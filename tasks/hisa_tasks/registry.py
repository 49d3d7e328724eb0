"""What can be asked: tasks by name, with the needles and haystacks of the needle task."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from hisa_tasks.sample import Sample


@dataclass(frozen=True)
class TaskInfo:
    """A task as lists show it.

    Attributes:
        name: As on the command line and in `Sample.task`.
        summary: One line.
        module: Where its `score(sample, prediction)` is; imported on first use.
    """

    name: str
    summary: str
    module: str


_TASKS = (
    TaskInfo("niah", "a fact hidden in a long text, and a question about it", "hisa_tasks.niah"),
    TaskInfo("ruler", "thirteen tasks: retrieval, tracing, aggregation, questions", "hisa_tasks.ruler"),
    TaskInfo("longbench", "21 datasets of real questions, English and Chinese", "hisa_tasks.longbench"),
    TaskInfo("longbench-v2", "503 multiple-choice questions on long texts", "hisa_tasks.longbench"),
    TaskInfo("mini", "generated questions in LongBench's schema, which it is not", "hisa_tasks.mini"),
)


def available() -> dict[str, str]:
    """Name and one-line summary of every task."""
    return {task.name: task.summary for task in _TASKS}


def needles() -> dict[str, str]:
    """Name and one-line summary of every needle family of `niah`."""
    from hisa_tasks.niah.needles.catalog import FAMILIES

    return {family.name: family.summary for family in FAMILIES.values()}


def haystacks() -> dict[str, str]:
    """Name and one-line summary of every shipped haystack of `niah`."""
    from hisa_tasks.niah.haystacks.catalog import HAYSTACKS

    return {haystack.name: haystack.summary for haystack in HAYSTACKS.values()}


def ruler_tasks() -> dict[str, str]:
    """Name and one-line summary of every task of `ruler`."""
    from hisa_tasks.ruler.catalog import TASKS

    return {task.name: task.summary for task in TASKS.values()}


def describe(name: str) -> dict[str, Any]:
    """Everything about a task, one of RULER's tasks, a needle family or a haystack, by its name.

    Args:
        name: Of any of them.

    Returns:
        `kind`, `name`, `summary` and the settings that decide its prompts; JSON types only.

    Raises:
        ValueError: Nothing has that name.
    """
    if name == "ruler":
        return {"kind": "task", "name": name, "summary": available()[name], "tasks": ruler_tasks()}
    if name == "mini":
        from hisa_tasks.longbench.catalog import CATEGORIES, MINI

        kinds = {
            one.name: f"{CATEGORIES[one.category].title}, scored by {one.metric}" for one in MINI.values()
        }
        return {"kind": "task", "name": name, "summary": available()[name], "tasks": kinds}
    if name in ruler_tasks():
        from hisa_tasks.ruler.catalog import describe as describe_ruler

        return {"kind": "ruler task", **describe_ruler(name)}
    if name in available():
        parts = {"needles": needles(), "haystacks": haystacks()} if name == "niah" else {}
        return {"kind": "task", "name": name, "summary": available()[name], **parts}
    if name in needles():
        from hisa_tasks.niah.needles.catalog import FAMILIES

        return {"kind": "needle", "summary": FAMILIES[name].summary, **FAMILIES[name].describe()}
    if name in haystacks():
        from hisa_tasks.niah.haystacks.catalog import HAYSTACKS

        return {"kind": "haystack", "summary": HAYSTACKS[name].summary, **HAYSTACKS[name].describe()}
    known = ", ".join((*available(), *needles(), *haystacks()))
    raise ValueError(f"no task, needle or haystack is called {name!r} – known: {known}")


def score(sample: Sample, prediction: str) -> float:
    """A prediction's score by the task that made the sample, from 0 to 1.

    Args:
        sample: With its task's name, references and metric.
        prediction: What the model generated after the prompt.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: No task has the sample's task name.
    """
    for task in _TASKS:
        if task.name == sample.task:
            return float(importlib.import_module(task.module).score(sample, prediction))
    raise ValueError(
        f"sample {sample.id!r} is of the unknown task {sample.task!r} – known: {', '.join(available())}"
    )
