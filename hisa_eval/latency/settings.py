"""What a measurement times, checked before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hisa_eval.config.grammar import format_length, parse_lengths
from hisa_eval.errors import UserError

DTYPES = ("fp8", "bf16", "f32")
DEVICES = ("auto", "cpu", "cuda")
LENGTHS = {"cpu": "4k..16k", "cuda": "8k..128k"}
QUERIES = {"cpu": 64, "cuda": 4096}
"""A CPU times the reference operators: few queries, short contexts."""


@dataclass(frozen=True)
class LatencySettings:
    """One measurement.

    Attributes:
        device: `"cpu"` or `"cuda"`.
        lengths: Context lengths in tokens, ascending.
        queries: Queries at the end of each context, M.
        heads: Index heads H.
        dim: Head dimension D.
        dtype: Of queries and keys: `"fp8"`, `"bf16"` or `"f32"`.
        topk: Token budget k.
        block_size: Tokens a block, B.
        num_blocks: Fixed budget of blocks, m.
        ratio: Second budget, blocks of the context over this; None for none.
        inputs: File with a model's own queries and keys; None for random ones.
    """

    device: str
    lengths: tuple[int, ...]
    queries: int
    heads: int = 64
    dim: int = 128
    dtype: str = "fp8"
    topk: int = 2048
    block_size: int = 128
    num_blocks: int = 64
    ratio: float | None = 4.0
    inputs: Path | None = None

    def facts(self) -> dict[str, Any]:
        """As JSON types, for a manifest."""
        shown = {name: value for name, value in vars(self).items() if name not in ("lengths", "inputs")}
        return {**shown, "lengths": list(self.lengths), "inputs": str(self.inputs or "random")}


def checked_device(device: str) -> str:
    """The device as written, refused where it is none.

    Raises:
        UserError: unknown.
    """
    if device not in DEVICES:
        raise UserError(f"--device {device!r} is unknown", f"choose one of {', '.join(DEVICES)}")
    return device


def latency_settings(
    device: str, lengths: str | None = None, queries: int | None = None, **given: Any
) -> LatencySettings:
    """Fill in what was not given, and refuse what cannot be measured.

    Args:
        device: `"cpu"` or `"cuda"`, resolved.
        lengths: As written on the command line.
        queries: M.
        given: Other fields of `LatencySettings`.

    Raises:
        UserError: a value is out of range, or two of them do not fit together.
    """
    if given.get("dtype", "fp8") not in DTYPES:
        raise UserError(f"--dtype {given['dtype']!r} is unknown", f"choose one of {', '.join(DTYPES)}")
    made = LatencySettings(
        device, parse_lengths(lengths or LENGTHS[device]), queries or QUERIES[device], **given
    )
    if made.queries > made.lengths[0]:
        raise UserError(
            f"--queries {made.queries} exceed the shortest context of {format_length(made.lengths[0])}",
            "pass fewer queries, or longer --lengths",
        )
    if made.num_blocks * made.block_size < made.topk:
        raise UserError(
            f"--num-blocks {made.num_blocks} of {made.block_size} hold fewer tokens than --topk {made.topk}",
            f"pass at least {-(-made.topk // made.block_size)} blocks, or a smaller --topk",
        )
    if made.ratio is not None and made.ratio < 1:
        raise UserError(f"--ratio {made.ratio:g} is below 1", "pass 4 to keep one block in 4, or 0 for none")
    if made.inputs is not None and not made.inputs.is_file():
        raise UserError(
            f"--inputs {made.inputs} does not exist", f"write it first: --dump-inputs {made.inputs}"
        )
    return made


@contextmanager
def input_errors() -> Iterator[None]:
    """One line for inputs of a file that do not fit."""
    try:
        yield
    except ValueError as error:
        what, _, fix = str(error).partition(": ")
        raise UserError(f"--inputs: {what}", fix or "see hisa-eval latency --help") from None
