"""The settings of an end-to-end measurement, validated before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hisa_eval.config.defaults import END_TO_END
from hisa_eval.config.grammar import parse_lengths
from hisa_eval.config.settings import RunSettings, validated

LENGTHS = {"cpu": "4k..16k", "cuda": "8k..128k"}
REPETITIONS = {"cpu": 3, "cuda": 5}
NEW_TOKENS = {"cpu": 32, "cuda": 128}
"""What is measured where nothing is said; a CPU takes seconds for what a GPU takes milliseconds for."""


def _lengths(value: Any) -> tuple[int, ...] | None:
    return None if value is None else parse_lengths(value)


class EndToEndSettings(RunSettings):
    """Everything that changes a number of an end-to-end measurement, and nothing that does not.

    Attributes:
        lengths: Context lengths in tokens, ascending, the answer in them; None leaves them to the device.
        repetitions: Timed answers of every indexer at every length, the indexers taking turns.
        max_new_tokens: Tokens of every answer; none ends early.
        stock: Also time transformers' own model, unchanged.
    """

    lengths: Annotated[tuple[int, ...] | None, BeforeValidator(_lengths)]
    repetitions: Annotated[int, Field(ge=1, le=1000)] | None
    max_new_tokens: Annotated[int, Field(ge=2, le=65_536)] | None
    stock: bool | None

    def settled(self, device: str) -> EndToEndSettings:
        """With everything that was left to the device.

        Args:
            device: `"cpu"` or `"cuda"`, resolved.
        """
        return self.model_copy(
            update={
                "lengths": self.lengths or parse_lengths(LENGTHS[device]),
                "repetitions": self.repetitions or REPETITIONS[device],
                "max_new_tokens": self.max_new_tokens or NEW_TOKENS[device],
                "stock": device == "cpu" if self.stock is None else self.stock,
            }
        )


def end_to_end_settings(
    values: Mapping[str, Any], sources: Mapping[str, str] | None = None
) -> EndToEndSettings:
    """Validate raw values; defaults fill the rest. See `hisa_eval.config.settings.validated`."""
    return validated(EndToEndSettings, "latency", END_TO_END, values, sources)
