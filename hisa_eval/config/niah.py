"""The settings of a needle-in-a-haystack run, validated before anything is loaded or written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from hisa_eval.config.defaults import NIAH
from hisa_eval.config.grammar import parse_depths, parse_lengths
from hisa_eval.errors import UserError, unknown_name

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "f32", "bf16"]


def _depths(value: Any, info: ValidationInfo) -> tuple[float, ...]:
    return parse_depths(value, seed=info.data.get("seed", 0))


def _indexer(value: Any) -> Any:
    """A YAML list of indexers reads like the comma-separated form."""
    return ",".join(str(item) for item in value) if isinstance(value, list | tuple) else value


class NiahSettings(BaseModel):
    """Everything that changes a number of a `niah` run, and nothing that does not.

    Attributes:
        seed: Decides keys, values, haystack offsets, random depths and the rows that the probe samples.
        lengths: Context lengths in tokens, answer room included, ascending.
        depths: Needle depths in per cent of the haystack, ascending.
        samples: Samples per length, depth and indexer.
        needle: Name of a needle variant, or a YAML file that defines one.
        distractors: Needles with other keys in the haystack, in place of the needle's own number.
        haystack: `prose`, `noise`, `needles`, or a folder of text files.
        indexer: Comma-separated indexers with their options.
        model: Name of the model.
        topk: Token budget k in place of the model's own.
        device: Where the model runs; `auto` takes CUDA where there is one.
        dtype: Of weights and activations; `auto` is f32 on a CPU and bf16 on CUDA.
        max_new_tokens: Room for the answer in tokens in place of the needle's own.
        probe: Also compare each selection with flat DSA's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    lengths: Annotated[tuple[int, ...], BeforeValidator(parse_lengths)]
    depths: Annotated[tuple[float, ...], BeforeValidator(_depths)]
    samples: Annotated[int, Field(ge=1, le=100_000)]
    needle: Annotated[str, Field(min_length=1)]
    distractors: Annotated[int, Field(ge=0, le=1_000_000)] | None
    haystack: Annotated[str, Field(min_length=1)]
    indexer: Annotated[str, BeforeValidator(_indexer), Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    topk: Annotated[int, Field(ge=1)] | None
    device: Device
    dtype: Dtype
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536)] | None
    probe: bool


def flag_of(name: str) -> str:
    """The command-line flag of a field."""
    return "--" + name.replace("_", "-")


def niah_settings(values: dict[str, Any], sources: dict[str, str] | None = None) -> NiahSettings:
    """Validate raw values, with one line for the first that is wrong.

    Args:
        values: Field name -> value as written on the command line or in a file; defaults fill the rest.
        sources: Field name -> where its value came from, named in the error where it is a file.

    Returns:
        The settings.

    Raises:
        UserError: an unknown field, or a value out of range.
    """
    for name in values:
        if name not in NIAH:
            raise unknown_name("setting", name, NIAH)
    try:
        return NiahSettings(**{**NIAH, **values})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        source = (sources or {}).get(name, "")
        where = f" (from {source})" if source.startswith("file") else ""
        problem = str(first["msg"]).removeprefix("Input ").removeprefix("Value error, ")
        raise UserError(
            f"{flag_of(name)} {first['input']!r}{where}: {problem}",
            f"default: {NIAH[name]!r}; see hisa-eval niah --help",
        ) from None
