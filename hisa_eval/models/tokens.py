"""A checkpoint's own tokenizer, as tasks and models need it. Imports neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer


class CheckpointTokenizer:
    """Reads a checkpoint's `tokenizer.json`; adds no special token, and takes none from a text.

    Args:
        folder: Of the checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self._fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # A haystack that happens to spell an end-of-sequence mark must not end the sequence.
        self._fast.encode_special_tokens = True

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`."""
        return self._fast.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`."""
        return self._fast.decode(list(ids), skip_special_tokens=False)

    def encode_with(self, text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
        """Token ids, and the positions of the tokens that overlap any of some spans.

        Args:
            text: The text.
            spans: Half-open character ranges of it.
        """
        encoding = self._fast.encode(text, add_special_tokens=False)
        if not spans:
            return encoding.ids, []
        positions = [
            position
            for position, (first, last) in enumerate(encoding.offsets)
            if any(first < stop and begin < last for begin, stop in spans)
        ]
        return encoding.ids, positions
