"""One sample of a run, for looking at it."""

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
from hisa_eval.run.listing import Listing
from hisa_eval.run.longbench import plan_longbench
from hisa_eval.run.niah import make_task
from hisa_eval.run.plan import input_errors
from hisa_eval.run.ruler import make_tasks
from hisa_tasks.sample import Sample, Tokenizer

LENGTH, DEPTH = "4k", 50.0
"""Where nothing is said."""

SUITES: Mapping[str, Mapping[str, Any]] = {
    "niah": {**NIAH, "length": LENGTH, "depth": DEPTH},
    "ruler": {**RULER, "length": LENGTH},
    "longbench": LONGBENCH,
    "mini": {name: value for name, value in LONGBENCH.items() if name not in ("suite", "data", "partial")},
}
"""What can be looked at, and the options that it has."""

HELP = "see hisa-eval show-prompt --help"


def build_sample(values: Mapping[str, Any], length: str, depth: float, index: int) -> Sample:
    """The sample that a needle run with these settings asks at one place of its grid.

    Args:
        values: Settings that were given, by field name; None where they were not.
        length: As written, e.g. `"8k"`.
        depth: In per cent.
        index: Of the sample.

    Raises:
        UserError: a value is wrong, or the length is too short.
    """
    settings = niah_settings({name: value for name, value in values.items() if value is not None})
    tokens = parse_length(length)
    (place,) = parse_depths([depth])
    tokenizer = _tokenizer(settings)
    with input_errors(HELP):
        return make_task(settings).sample(tokens, place, index, tokenizer)


def sample_of_suite(suite: str, values: Mapping[str, Any], index: int) -> Sample:
    """The sample that a run of any suite asks at one place.

    Args:
        suite: One of `SUITES`.
        values: Options that were given, by field name; None where they were not. Of several tasks or data
            sets the first one's sample is built.
        index: Of the sample: of its place in a grid of lengths, or of its row.

    Raises:
        UserError: a value is wrong or has no meaning for the suite, data are missing, the length is too
            short, or there is no such row.
    """
    if suite not in SUITES:
        raise unknown_name("task", suite, SUITES)
    given = {name: value for name, value in values.items() if value is not None}
    for name in given:
        if name not in SUITES[suite]:
            command = "longbench" if suite == "mini" else suite
            raise UserError(
                f"{suite} has no {flag_of(name)}", f"leave it out; see hisa-eval {command} --help"
            )
    length, depth = given.pop("length", LENGTH), given.pop("depth", DEPTH)
    if suite == "niah":
        return build_sample(given, length, depth, index)
    if suite == "ruler":
        return _ruler_sample(given, length, index)
    return _row({"suite": "mini", **given} if suite == "mini" else given, index)


def _ruler_sample(values: Mapping[str, Any], length: str, index: int) -> Sample:
    settings = ruler_settings(values)
    tokens, tokenizer = parse_length(length), _tokenizer(settings)
    task = next(iter(make_tasks(settings)[0].values()))
    with input_errors(HELP):
        return task.sample(tokens, 0.0, index, tokenizer)


def _row(values: Mapping[str, Any], index: int) -> Sample:
    settings = longbench_settings(values)
    tokenizer = _tokenizer(settings)
    listing = plan_longbench(settings).layout
    assert isinstance(listing, Listing)
    name, rows = next(iter(listing.rows.items()))
    if index >= len(rows):
        raise UserError(f"{name} has no row {index}", f"count from 0 to {len(rows) - 1}")
    with input_errors(HELP):
        return rows[index].make(tokenizer)


def _tokenizer(settings: RunSettings) -> Tokenizer:
    if settings.model not in model_registry.available():
        raise unknown_name("model", settings.model, model_registry.available())
    return model_registry.tokenizer(settings.model)


def facts_of_sample(sample: Sample) -> dict[str, Any]:
    """What a reader of a prompt wants to know beside its text; JSON types only."""
    facts: dict[str, Any] = {
        "sample": sample.id,
        "length": sample.length,
        "prompt tokens": sample.n_prompt_tokens,
        "answer room": sample.max_new_tokens,
        "characters": len(sample.prompt),
        "sha256": text_hash(sample.prompt),
    }
    for name, key in (("depth reached", "depth_actual"), ("tokens cut", "n_cut"), ("metric", "metric")):
        if key in sample.meta:
            facts[name] = sample.meta[key]
    return {**facts, "references": list(sample.references)}
