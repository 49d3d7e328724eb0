"""The settings of a comparison of selections, validated before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hisa_eval.config.defaults import FIDELITY
from hisa_eval.config.grammar import parse_lengths
from hisa_eval.config.niah import parse_seeded_depths
from hisa_eval.config.settings import RunSettings, joined, validated

PRECISIONS = ("f32", "bf16", "fp8")
"""Of the noise floor."""


def _precisions(value: Any) -> tuple[str, ...]:
    """Names from `bf16,fp8`; `none` for none."""
    names = value if isinstance(value, list | tuple) else str(value).split(",")
    found = tuple(dict.fromkeys(str(name).strip() for name in names))
    if found in ((), ("none",)):
        return ()
    for name in found:
        if name not in PRECISIONS:
            raise ValueError(f"precision {name!r} is unknown: choose of {', '.join(PRECISIONS)}, or none")
    return found


def without_slash(value: Any) -> Any:
    """A folder is the same with a slash behind it and without."""
    return value.rstrip("/") or value if isinstance(value, str) else value


class FidelitySettings(RunSettings):
    """Everything that changes a number of a `fidelity` run, and nothing that does not.

    Attributes:
        lengths: Context lengths in tokens, ascending.
        depths: Needle depths in per cent, ascending: with `samples`, the contexts of a length.
        samples: Contexts per length and depth; synthetic ones per length and distribution.
        rows: Query rows compared in each context; the answering one comes besides.
        inputs: File of recorded inputs, or folder of such files, in place of a model's prefill.
        synthetic: Names of distributions in place of a model's prefill.
        heads: Index heads of synthetic inputs.
        dim: Head dimension of synthetic inputs.
        run_with: The indexer that the model runs with, with its options; the others select on its queries.
        precisions: Roundings of the inputs that every indexer is compared with itself under; `f32` sums in
            another order.
        attention: Also compare with the rows' dense attention.
        needle: Name of a needle variant, or a YAML file that defines one.
        distractors: Needles with other keys in the haystack.
        haystack: `prose`, `noise`, `needles`, or a folder of text files.
    """

    lengths: Annotated[tuple[int, ...], BeforeValidator(parse_lengths)]
    depths: Annotated[tuple[float, ...], BeforeValidator(parse_seeded_depths)]
    samples: Annotated[int, Field(ge=1, le=100_000)]
    rows: Annotated[int, Field(ge=1, le=65_536)]
    inputs: Annotated[str, BeforeValidator(without_slash)] | None
    synthetic: Annotated[str, BeforeValidator(joined)] | None
    heads: Annotated[int, Field(ge=1, le=1024)]
    dim: Annotated[int, Field(ge=1, le=4096)]
    run_with: Annotated[str, Field(min_length=1)]
    precisions: Annotated[tuple[str, ...], BeforeValidator(_precisions)]
    attention: bool
    needle: Annotated[str, Field(min_length=1)]
    distractors: Annotated[int, Field(ge=0, le=1_000_000)] | None
    haystack: Annotated[str, Field(min_length=1)]


def fidelity_settings(
    values: Mapping[str, Any], sources: Mapping[str, str] | None = None
) -> FidelitySettings:
    """Validate raw values; defaults fill the rest. See `hisa_eval.config.settings.validated`."""
    return validated(FidelitySettings, "fidelity", FIDELITY, values, sources)
