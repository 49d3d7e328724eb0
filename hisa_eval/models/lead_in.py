"""What an answer begins with before its own text: a space alone, where the tokenizer keeps it apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PlacingTokenizer(Protocol):
    """A tokenizer that says which tokens hold a stretch of a text."""

    def encode_with(
        self, text: str, spans: Sequence[tuple[int, int]], literal: tuple[int, int] | None = None
    ) -> tuple[NDArray[np.int32], list[int]]:
        """See `hisa_eval.models.tokens.CheckpointTokenizer.encode_with`."""
        ...


def lead_in(tokenizer: PlacingTokenizer, reference: str) -> list[int]:
    """Tokens of `" " + reference` before the first one that holds a character of the reference.

    A prompt that ends in a word is continued by a space. Where that is a token of its own, the prompt's last
    row gives the space, for which no needle is needed; the row that reads the space gives the first token of
    the answer.

    Args:
        tokenizer: Of the model.
        reference: The answer expected; nothing leads into an empty one.

    Returns:
        Token ids: none where the tokenizer merges the space with what follows.
    """
    if not reference:
        return []
    ids, own = tokenizer.encode_with(f" {reference}", [(1, 1 + len(reference))])
    return [int(one) for one in ids[: own[0]]] if own else []
