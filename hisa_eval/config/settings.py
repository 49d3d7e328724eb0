"""What the settings of every run have in common, and how raw values become settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hisa_eval.errors import UserError, unknown_name

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "f32", "bf16"]
Spread = Literal["one", "layers"]


def joined(value: Any) -> Any:
    """A YAML list of names reads like the comma-separated form."""
    return ",".join(str(item) for item in value) if isinstance(value, list | tuple) else value


class RunSettings(BaseModel):
    """Everything about who answers that changes a number, and nothing that does not.

    Attributes:
        seed: Decides all random draws of the suite, and the rows that the probe samples.
        indexer: Comma-separated indexers with their options.
        model: Name of the model, folder of a checkpoint, or its name on the hub.
        topk: Token budget k in place of the model's own.
        device: Where the model runs; `auto` takes CUDA where there is one.
        dtype: Of weights and activations; `auto` is f32 on a CPU and bf16 on CUDA.
        tokenizer: Name, folder or hub name of a served model's tokenizer.
        label: What the user claims of a server, `indexer=NAME`.
        concurrency: Requests that a server gets at the same time; batching may change its numbers.
        spread: How the model uses several GPUs: not at all (`one`), or whole `layers` on each.
        probe: Also compare each selection with flat DSA's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    indexer: Annotated[str, BeforeValidator(joined), Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    topk: Annotated[int, Field(ge=1)] | None
    device: Device
    dtype: Dtype
    spread: Spread
    tokenizer: Annotated[str, Field(min_length=1)] | None
    label: Annotated[str, Field(min_length=1)] | None
    concurrency: Annotated[int, Field(ge=1, le=256)]
    probe: bool


Settings = TypeVar("Settings", bound=RunSettings)


def flag_of(name: str) -> str:
    """The command-line flag of a field."""
    return "--" + name.replace("_", "-")


def validated(
    kind: type[Settings],
    command: str,
    defaults: Mapping[str, Any],
    values: Mapping[str, Any],
    sources: Mapping[str, str] | None = None,
) -> Settings:
    """Validate raw values, with one line for the first that is wrong.

    Args:
        kind: Of the settings.
        command: Whose help page an error names.
        defaults: Field name -> value that fills in.
        values: Field name -> value as written on the command line or in a file.
        sources: Field name -> where its value came from, named in the error where it is a file.

    Raises:
        UserError: an unknown field, or a value out of range.
    """
    for name in values:
        if name not in defaults:
            raise unknown_name("setting", name, defaults)
    try:
        return kind(**{**defaults, **values})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        source = (sources or {}).get(name, "")
        where = f" (from {source})" if source.startswith("file") else ""
        problem = str(first["msg"]).removeprefix("Input ").removeprefix("Value error, ")
        raise UserError(
            f"{flag_of(name)} {first['input']!r}{where}: {problem}",
            f"default: {defaults[name]!r}; see hisa-eval {command} --help",
        ) from None
