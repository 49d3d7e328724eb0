"""A checkpoint's own tokenizer, as tasks and models need it. Imports neither torch nor transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hisa_eval.models.chat import ChatTemplate, chat_template, start_token
from hisa_eval.models.nano.tokenizer import byte_letters

_FEW = 1024
"""Largest vocabulary that is looked into for a byte-level one."""


class CheckpointTokenizer:
    """Reads a checkpoint's `tokenizer.json`; adds no special token, and takes none from a prompt.

    Where every token is one byte, a table gives what the tokenizer would give, a hundred times faster.

    Args:
        folder: Of the checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self._fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # A haystack that happens to spell an end-of-sequence mark must not end the sequence.
        self._fast.encode_special_tokens = True
        self._of_byte = byte_table(self._fast)
        self._folder = folder
        added = self._fast.get_added_tokens_decoder().values()
        self._special = tuple(token.content for token in added if token.special)

    @cached_property
    def chat(self) -> ChatTemplate | None:
        """The checkpoint's chat template, if it has one."""
        return chat_template(self._folder)

    @cached_property
    def start(self) -> str | None:
        """The special tokens that belong before every text, if there are any.

        Those that the tokenizer's own post-processor puts there, as transformers' tokenizers do; where it
        puts none, the start token that the checkpoint's configuration asks for.
        """
        whole = self._fast.encode("x", add_special_tokens=True)
        first = whole.special_tokens_mask.index(0)
        return "".join(whole.tokens[:first]) or start_token(self._folder)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`."""
        if self._of_byte is not None:
            return self._of_bytes(self._of_byte, text).tolist()
        return self._fast.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`."""
        return self._fast.decode(list(ids), skip_special_tokens=False)

    def encode_with(
        self, text: str, spans: Sequence[tuple[int, int]], literal: tuple[int, int] | None = None
    ) -> tuple[NDArray[np.int32], list[int]]:
        """Token ids, and the positions of the tokens that overlap any of some spans.

        Args:
            text: The text.
            spans: Half-open character ranges of it.
            literal: The range outside which special tokens count; None takes none from the text.
        """
        if self._of_byte is not None and literal is None:
            edges = [tuple(len(text[:at].encode()) for at in span) for span in spans]
            positions = sorted({at for first, stop in edges for at in range(first, stop)})
            return self._of_bytes(self._of_byte, text), positions
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for start, piece, special in self._pieces(text, literal):
            self._fast.encode_special_tokens = not special
            try:
                encoding = self._fast.encode(piece, add_special_tokens=False)
            finally:
                self._fast.encode_special_tokens = True
            ids += encoding.ids
            offsets += [(start + first, start + last) for first, last in encoding.offsets] if spans else []
        positions = [
            position
            for position, (first, last) in enumerate(offsets)
            if any(first < stop and begin < last for begin, stop in spans)
        ]
        return np.array(ids, dtype=np.int32), positions

    def _pieces(self, text: str, literal: tuple[int, int] | None) -> list[tuple[int, str, bool]]:
        """Where each piece starts, the piece, and whether its special tokens count.

        A text is one piece unless its literal part spells a special token: tokens may cross the seams.
        """
        if literal is None:
            return [(0, text, False)]
        first, last = literal
        if not any(token in text[first:last] for token in self._special):
            return [(0, text, True)]
        parts = ((0, text[:first], True), (first, text[first:last], False), (last, text[last:], True))
        return [part for part in parts if part[1]]

    @staticmethod
    def _of_bytes(table: NDArray[np.int32], text: str) -> NDArray[np.int32]:
        return table[np.frombuffer(text.encode(), dtype=np.uint8)]


def byte_table(tokenizer: Tokenizer) -> NDArray[np.int32] | None:
    """The token of each byte `[256]`, or None where a tokenizer does more than look bytes up.

    Args:
        tokenizer: Any, with `encode_special_tokens` set.
    """
    if tokenizer.get_vocab_size() > _FEW:
        return None
    whole = json.loads(tokenizer.to_str())
    before, model = whole["pre_tokenizer"] or {}, whole["model"]
    alone = ("normalizer", "post_processor", "truncation", "padding")
    plain = before.get("type") == "ByteLevel" and not before["add_prefix_space"]
    looked_up = model["type"] == "BPE" and not model["merges"] and not model["dropout"]
    affixed = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
    letters = byte_letters()
    if any(whole[part] for part in alone) or not plain or not looked_up or affixed:
        return None
    if not all(letter in model["vocab"] for letter in letters):
        return None
    return np.array([model["vocab"][letter] for letter in letters], dtype=np.int32)
