"""One sample of a needle run, for looking at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hisa_eval.config.grammar import parse_depths, parse_length
from hisa_eval.config.niah import niah_settings
from hisa_eval.models import registry as model_registry
from hisa_eval.run.canonical import text_hash
from hisa_eval.run.niah import make_task
from hisa_eval.run.plan import input_errors
from hisa_tasks.sample import Sample


def build_sample(values: Mapping[str, Any], length: str, depth: float, index: int) -> Sample:
    """The sample that a run with these settings asks at one place of its grid.

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
    task = make_task(settings)
    tokenizer = model_registry.tokenizer(settings.tokenizer or settings.model)
    with input_errors("see hisa-eval show-prompt --help"):
        return task.sample(tokens, place, index, tokenizer)


def facts_of_sample(sample: Sample) -> dict[str, Any]:
    """What a reader of a prompt wants to know beside its text; JSON types only."""
    return {
        "sample": sample.id,
        "length": sample.length,
        "prompt tokens": sample.n_prompt_tokens,
        "answer room": sample.max_new_tokens,
        "characters": len(sample.prompt),
        "sha256": text_hash(sample.prompt),
        "depth reached": sample.meta.get("depth_actual"),
        "references": list(sample.references),
    }
