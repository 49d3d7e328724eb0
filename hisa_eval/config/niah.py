"""The settings of a needle-in-a-haystack run, validated before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from hisa_eval.config.defaults import NIAH
from hisa_eval.config.grammar import parse_depths, parse_lengths
from hisa_eval.config.settings import RunSettings, validated


def parse_seeded_depths(value: Any, info: ValidationInfo) -> tuple[float, ...]:
    """Depths as written; the seed decides random ones."""
    return parse_depths(value, seed=info.data.get("seed", 0))


class NiahSettings(RunSettings):
    """Everything that changes a number of a `niah` run, and nothing that does not.

    Attributes:
        lengths: Context lengths in tokens, answer room included, ascending.
        depths: Needle depths in per cent of the haystack, ascending.
        samples: Samples per length, depth and indexer.
        needle: Name of a needle variant, or a YAML file that defines one.
        distractors: Needles with other keys in the haystack, in place of the needle's own number.
        haystack: `prose`, `noise`, `needles`, or a folder of text files.
        max_new_tokens: Room for the answer in tokens in place of the needle's own.
    """

    lengths: Annotated[tuple[int, ...], BeforeValidator(parse_lengths)]
    depths: Annotated[tuple[float, ...], BeforeValidator(parse_seeded_depths)]
    samples: Annotated[int, Field(ge=1, le=100_000)]
    needle: Annotated[str, Field(min_length=1)]
    distractors: Annotated[int, Field(ge=0, le=1_000_000)] | None
    haystack: Annotated[str, Field(min_length=1)]
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536)] | None


def niah_settings(values: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> NiahSettings:
    """Validate raw values; defaults fill the rest. See `hisa_eval.config.settings.validated`."""
    return validated(NiahSettings, "niah", NIAH, values, sources)
