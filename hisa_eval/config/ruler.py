"""The settings of a RULER run, validated before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hisa_eval.config.defaults import RULER
from hisa_eval.config.grammar import parse_lengths
from hisa_eval.config.settings import RunSettings, joined, validated


class RulerSettings(RunSettings):
    """Everything that changes a number of a `ruler` run, and nothing that does not.

    Attributes:
        lengths: Context lengths in tokens, answer room included, ascending.
        tasks: Comma-separated tasks or groups of them; None for all whose data are there.
        samples: Samples per task, length and indexer.
        data: File of questions for `qa_1` and `qa_2`, or the folder that holds it.
        haystack: Running text of the retrieval tasks: a name, or a folder of text files.
        max_new_tokens: Room for the answer in tokens in place of each task's own.
    """

    lengths: Annotated[tuple[int, ...], BeforeValidator(parse_lengths)]
    tasks: Annotated[Annotated[str, Field(min_length=1)] | None, BeforeValidator(joined)]
    samples: Annotated[int, Field(ge=1, le=100_000)]
    data: Annotated[str, Field(min_length=1)] | None
    haystack: Annotated[str, Field(min_length=1)]
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536)] | None


def ruler_settings(values: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> RulerSettings:
    """Validate raw values; defaults fill the rest. See `hisa_eval.config.settings.validated`."""
    return validated(RulerSettings, "ruler", RULER, values, sources)
