"""The settings of a sweep: a grid of HISA's options, and other indexers beside it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hisa_eval.config.defaults import SWEEP
from hisa_eval.config.fidelity import without_slash
from hisa_eval.config.grammar import parse_lengths
from hisa_eval.config.niah import parse_seeded_depths
from hisa_eval.config.settings import RunSettings, validated

AXES = (
    "block_size",
    "num_blocks",
    "ratio",
    "pooling",
    "forced",
    "forced_in_budget",
    "block_score_dtype",
)
"""Options of `hisa` that may be lists."""


def _names(value: Any) -> tuple[str, ...]:
    """A list as typed: `32,64`; None for nothing."""
    if value is None or value == "none":
        return ()
    items = value if isinstance(value, list | tuple) else str(value).split(",")
    found = tuple(dict.fromkeys(str(item).strip() for item in items))
    if any(not one for one in found):
        raise ValueError("the list has an empty piece")
    return found


def _counts(value: Any) -> tuple[int, ...]:
    try:
        found = tuple(int(one) for one in _names(value))
    except ValueError:
        raise ValueError("write whole numbers, as in 512,2048") from None
    if any(one < 1 for one in found):
        raise ValueError("a budget is at least 1")
    return found


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class SweepSettings(RunSettings):
    """Everything that changes a number of a `sweep`, and nothing that does not.

    Attributes:
        lengths: Context lengths in tokens, ascending.
        depths: Needle depths in per cent, ascending.
        samples: Samples per length and depth.
        rows: Query rows compared in each context.
        needle: Name of a needle variant, or a YAML file that defines one.
        distractors: Needles with other keys in the haystack.
        haystack: `prose`, `noise`, `needles`, or a folder of text files.
        inputs: File of recorded inputs, or folder of such files, that are compared on in place of contexts of
            the grid.
        accuracy: Also ask the model; else selections are compared alone.
        budgets: Token budgets k; none takes the model's own.
        block_size, num_blocks, ratio, pooling, forced, forced_in_budget, block_score_dtype: Values of HISA's
            options; every combination takes part.
    """

    lengths: Annotated[tuple[int, ...], BeforeValidator(parse_lengths)]
    depths: Annotated[tuple[float, ...], BeforeValidator(parse_seeded_depths)]
    samples: Annotated[int, Field(ge=1, le=100_000)]
    rows: Annotated[int, Field(ge=1, le=65_536)]
    needle: Annotated[str, Field(min_length=1)]
    distractors: Annotated[int, Field(ge=0, le=1_000_000)] | None
    haystack: Annotated[str, Field(min_length=1)]
    inputs: Annotated[str, BeforeValidator(without_slash)] | None
    accuracy: bool
    budgets: Annotated[tuple[int, ...], BeforeValidator(_counts)]
    block_size: Names
    num_blocks: Names
    ratio: Names
    pooling: Names
    forced: Names
    forced_in_budget: Names
    block_score_dtype: Names

    def grid(self) -> list[str]:
        """Specs of every combination, `hisa:…`; none where no option is a list."""
        axes = [(name, values) for name in AXES if (values := getattr(self, name))]
        # A ratio and a fixed m are two ways to say the same, so they stand beside each other.
        both = [axis for axis in axes if axis[0] in ("num_blocks", "ratio")]
        rest = [axis for axis in axes if axis not in both]
        found = []
        for one in [[axis] for axis in both] or [[]]:
            chosen = [*rest, *one]
            for values in product(*(axis[1] for axis in chosen)):
                pairs = [f"{axis[0]}={value}" for axis, value in zip(chosen, values, strict=True)]
                found.append(f"hisa:{','.join(pairs)}" if pairs else "hisa")
        return found if axes else []


def sweep_settings(values: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> SweepSettings:
    """Validate raw values; defaults fill the rest. See `hisa_eval.config.settings.validated`."""
    return validated(SweepSettings, "sweep", SWEEP, values, sources)
