"""A LongBench run: official rows, or those of mini, each at its own length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hisa_eval.config.longbench import LongBenchSettings
from hisa_eval.models import registry as model_registry
from hisa_eval.run.framing import Framing
from hisa_eval.run.listing import Listing, Row
from hisa_eval.run.plan import PlannedRun, input_errors, settle
from hisa_tasks.longbench import LongBenchTask, LongBenchV2Task, score
from hisa_tasks.longbench.catalog import EXTENDED, SUFFIX, any_dataset, expand, is_extended
from hisa_tasks.longbench.prompt import template
from hisa_tasks.longbench.v2 import MAX_NEW_TOKENS
from hisa_tasks.longbench.v2 import NAME as V2
from hisa_tasks.mini import MiniTask
from hisa_tasks.mini.task import NAME as MINI
from hisa_tasks.mini.task import mini_data_sets
from hisa_tasks.sample import Tokenizer

COMMAND = "longbench"
HELP = "see hisa-eval longbench --help"
MEASURED = 4000
"""Characters of a context whose tokens are counted, to estimate those of the whole."""

_KEPT = ("dataset", "category", "metric", "row", "words", "context", "n_whole_prompt_tokens", "n_cut")
_KEPT_FRAME = ("frame", "thinking")
_KEPT_V1 = ("bucket", "all_classes", "code_similarity")
_KEPT_V2 = ("choice", "domain", "sub_domain", "difficulty", "length_class")


def data_sets(settings: LongBenchSettings) -> tuple[str, ...]:
    """Data sets of LongBench v1, LongBench-E or mini that the settings name.

    Raises:
        ValueError: a name is unknown, or of another suite.
    """
    extended = settings.suite == "e"
    asked = [name.strip() for name in (settings.tasks or "all").split(",") if name.strip()]
    if settings.suite == MINI:
        return mini_data_sets(asked)
    if settings.tasks is None:
        return expand(("e",) if extended else ("all",))
    names = expand(asked)
    if not extended:
        wrong = next((name for name in names if is_extended(name)), None)
        if wrong:
            raise ValueError(f"{wrong} is a data set of LongBench-E – add --suite e")
        return names
    names = tuple(name if is_extended(name) else name + SUFFIX for name in names)
    lacking = [name for name in names if name not in EXTENDED and name.removesuffix(SUFFIX) in asked]
    if lacking:
        raise ValueError(f"LongBench-E has no {lacking[0].removesuffix(SUFFIX)} – leave it out")
    return tuple(dict.fromkeys(name for name in names if name in EXTENDED))


def plan_longbench(settings: LongBenchSettings) -> PlannedRun:
    """Check everything that can be checked without weights; every file is read.

    Args:
        settings: Validated one by one.

    Raises:
        UserError: names that do not exist, options that do not go together, data that are missing, damaged or
            not whole.
    """
    answerer = settle(settings)
    tokenizer = model_registry.tokenizer(settings.tokenizer or settings.model)
    with input_errors(HELP):
        if settings.suite == "v2" and settings.tasks is not None:
            raise ValueError("LongBench v2 is one data set – leave --tasks away")
        names = () if settings.suite == "v2" else data_sets(settings)
        room = MAX_NEW_TOKENS if not names else max(any_dataset(name).max_new_tokens for name in names)
        framing = Framing(settings.chat_template, settings.thinking, settings.model, tokenizer)
        context = answerer.model.get("context")
        limit = settings.max_prompt_tokens or (int(context) - room - framing.room() if context else None)
        shared: dict[str, Any] = {
            "data": settings.data,
            "samples": settings.samples,
            "seed": settings.seed,
            "truncate": settings.truncate,
            "max_prompt_tokens": limit,
            "partial": settings.partial,
        }
        task: LongBenchTask | LongBenchV2Task
        command = MINI if settings.suite == MINI else COMMAND
        rows: dict[str, list[Row]]
        kept: tuple[str, ...]
        if settings.suite == "v2":
            task = LongBenchV2Task(**shared)
            rows, kept = {V2: _v2_rows(task, framing)}, _KEPT_V2
        else:
            kind = MiniTask if settings.suite == MINI else LongBenchTask
            task = kind(names, code_similarity=settings.code_similarity, **shared)
            rows = {f"{task.suite}/{name}": _v1_rows(task, name, framing) for name in task.names}
            kept = _KEPT_V1
    described = {**task.describe(), "data_hash": task.data_hash()}
    facts = ("task", "version", "truncate", "max_prompt_tokens", "code_similarity")
    thinking = {} if settings.thinking == "none" else {"thinking": settings.thinking}
    listing = Listing(
        rows,
        tuple(answerer.labels),
        score,
        {**{name: described[name] for name in facts if name in described}, **thinking},
        described,
        (*_KEPT, *_KEPT_FRAME, *kept),
    )
    return PlannedRun(
        command=command,
        settings=settings,
        answerer=answerer,
        questions=listing,
        layout=listing,
        decided={
            "tasks": [name.rpartition("/")[2] for name in rows],
            "max_prompt_tokens": limit,
            "task_data": described["data_hash"],
            "n_planned": len(listing),
        },
    )


def _v1_rows(task: LongBenchTask, name: str, framing: Framing) -> list[Row]:
    rows = task.rows(name)
    tokens = _estimates([row.context for row in rows], task.fit.limit, framing.tokenizer)
    context_first = "{context}" in template(name).partition("{input}")[0]
    found = []
    for place, (row, n) in enumerate(zip(rows, tokens, strict=True)):
        shared = context_first and place > 0 and rows[place - 1].context == row.context
        fresh = len(row.input) / (len(row.input) + len(row.context)) if shared else 1.0
        make = framing.maker(task.sample, name, row)
        found.append(Row(f"{task.suite}/{name}/{row.id}", n, make, fresh))
    return found


def _v2_rows(task: LongBenchV2Task, framing: Framing) -> list[Row]:
    tokens = _estimates([one.context for one in task.questions], task.fit.limit, framing.tokenizer)
    return [
        Row(f"{V2}/{one.id}", n, framing.maker(task.sample, one))
        for one, n in zip(task.questions, tokens, strict=True)
    ]


def _estimates(contexts: Sequence[str], limit: int | None, tokenizer: Tokenizer) -> list[float]:
    """Tokens of contexts, from those of each one's beginning."""
    found = []
    for text in contexts:
        start = text[:MEASURED]
        tokens = len(text) * len(tokenizer.encode(start)) / max(1, len(start))
        found.append(max(1.0, tokens if limit is None else min(tokens, float(limit))))
    return found
