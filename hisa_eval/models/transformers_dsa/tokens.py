"""A checkpoint's own tokenizer, in the form that tasks and models need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import AutoTokenizer


class CheckpointTokenizer:
    """Wraps the fast tokenizer of a checkpoint; adds no special token anywhere.

    Args:
        path: Folder of the checkpoint.
    """

    def __init__(self, path: str) -> None:
        self._fast: Any = AutoTokenizer.from_pretrained(path)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`."""
        return self._fast(text, add_special_tokens=False, verbose=False)["input_ids"]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`."""
        return self._fast.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def positions(self, text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
        """Positions of the tokens that overlap any of the half-open character `spans` of `text`."""
        if not spans:
            return []
        encoded = self._fast(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [
            position
            for position, (first, last) in enumerate(encoded["offset_mapping"])
            if any(first < stop and begin < last for begin, stop in spans)
        ]
