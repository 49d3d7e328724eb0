"""One sample of any suite, for looking at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hisa_eval.config.defaults import LONGBENCH, NIAH, RULER
from hisa_eval.config.grammar import parse_depths, parse_length
from hisa_eval.config.longbench import longbench_settings
from hisa_eval.config.niah import niah_settings
from hisa_eval.config.ruler import ruler_settings
from hisa_eval.config.settings import RunSettings, flag_of
from hisa_eval.errors import UserError, unknown_name
from hisa_eval.models import registry as model_registry
from hisa_eval.run.canonical import text_hash
from hisa_eval.run.longbench import plan_longbench
from hisa_eval.run.niah import make_task
from hisa_eval.run.plan import input_errors
from hisa_eval.run.ruler import make_tasks
from hisa_tasks.longbench.catalog import SUFFIX
from hisa_tasks.sample import Sample, Tokenizer

HELP = "see hisa-eval show-prompt --help"
_SHOWN = {
    "depth_actual": "depth reached",
    "metric": "metric",
    "n_cut": "tokens cut",
    "frame": "frame",
    "all_classes": "classes",
}
LENGTH, DEPTH = "4k", 50.0
SUITES: Mapping[str, frozenset[str]] = {
    "niah": frozenset({*NIAH, "length", "depth"}),
    "ruler": frozenset({*RULER, "length"}),
    "longbench": frozenset(LONGBENCH),
    "longbench-v2": frozenset(LONGBENCH),
    "mini": frozenset(LONGBENCH) - {"data", "partial"},
}
"""What can be looked at, and the options that mean something there."""


def build_sample(
    task: str, values: Mapping[str, Any], length: str | None, depth: float | None, index: int
) -> Sample:
    """The sample that a run with these settings asks at one place.

    Args:
        task: As in tables and records: `niah`, `ruler/vt`, `longbench/qasper`, `longbench-v2`,
            `mini/lookup`.
        values: Settings that were given, by field name; None where they were not.
        length: As written, e.g. `"8k"`; for `niah` and `ruler`, which take `LENGTH` for None.
        depth: In per cent; for `niah`, which takes `DEPTH` for None.
        index: Of the sample; of the row for the others.

    Raises:
        UserError: a name or value is wrong or belongs to another task, the length is too short, there is no
            such row, or data are missing.
    """
    suite, _, name = task.partition("/")
    given = {field: value for field, value in values.items() if value is not None}
    if suite not in SUITES:
        raise unknown_name("task", task, SUITES)
    if suite in ("ruler", "longbench", "mini") and not name:
        raise UserError(f"{task} has several tasks", f"name one of them: {task}/NAME")
    places = {"length": length, "depth": depth}
    for option in (*given, *(option for option, value in places.items() if value is not None)):
        if option not in SUITES[suite]:
            raise UserError(f"{task} has no {flag_of(option)}", "leave it out")
    if suite == "niah":
        return _needle(given, length or LENGTH, DEPTH if depth is None else depth, index)
    if suite == "ruler":
        return _ruler(name, given, length or LENGTH, index)
    return _row(suite, name, given, index)


def _needle(given: Mapping[str, Any], length: str, depth: float, index: int) -> Sample:
    settings = niah_settings(given)
    tokens = parse_length(length)
    (place,) = parse_depths([depth])
    tokenizer = _tokenizer(settings)
    task = make_task(settings)
    with input_errors(HELP):
        return task.sample(tokens, place, index, tokenizer)


def _ruler(name: str, given: Mapping[str, Any], length: str, index: int) -> Sample:
    tokens = parse_length(length)
    settings = ruler_settings({**given, "tasks": name})
    tokenizer = _tokenizer(settings)
    tasks, _ = make_tasks(settings)
    (task,) = tasks.values() if len(tasks) == 1 else (None,)
    if task is None:
        raise UserError(f"{name} stands for {len(tasks)} tasks", f"name one of them: {', '.join(tasks)}")
    with input_errors(HELP):
        return task.sample(tokens, 0.0, index, tokenizer)


def _row(suite: str, name: str, given: Mapping[str, Any], index: int) -> Sample:
    edition = "e" if name.endswith(SUFFIX) else "v1"
    names = {"longbench": edition, "longbench-v2": "v2", "mini": "mini"}
    tasks = {} if suite == "longbench-v2" else {"tasks": name}
    run = plan_longbench(longbench_settings({**given, "suite": names[suite], **tasks}))
    steps = [step for step in run.layout.steps() if step.indexer == run.answerer.labels[0]]
    if len({step.task for step in steps}) > 1:
        raise UserError(f"{name} stands for several data sets", "name one of them")
    found = next((step for step in steps if step.sample == index), None)
    if found is None:
        raise UserError(f"there is no row {index}", f"rows are 0 to {len(steps) - 1}")
    with input_errors(HELP):
        return run.questions.sample(found, _tokenizer(run.settings))


def _tokenizer(settings: RunSettings) -> Tokenizer:
    return model_registry.tokenizer(settings.tokenizer or settings.model)


def facts_of_sample(sample: Sample) -> dict[str, Any]:
    """What a reader of a prompt wants to know beside its text; JSON types only."""
    return {
        "sample": sample.id,
        "length": sample.length,
        "prompt tokens": sample.n_prompt_tokens,
        "answer room": sample.max_new_tokens,
        "characters": len(sample.prompt),
        "sha256": text_hash(sample.prompt),
        **{shown: sample.meta[name] for name, shown in _SHOWN.items() if name in sample.meta},
        **({"ends at": list(sample.stop)} if sample.stop else {}),
        "references": list(sample.references),
    }
