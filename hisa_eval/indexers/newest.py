"""What an indexer may offer beside `select`: a selector for one new token at a time.

`newest(k, heads, topk, ends)` gets the key buffer of a sequence `[room, D]` (f32 or bf16), the number of
query heads, the token budget and the least and greatest `end` to serve, and returns a
`hisa_eval.indexers.base.NewestSelector`, or None where its options allow none. Indexers without it decode
through `select`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from hisa_eval.indexers.base import Indexer, NewestSelector


def newest_selector(
    indexer: Indexer, k: Tensor, heads: int, topk: int, ends: tuple[int, int]
) -> NewestSelector | None:
    """The indexer's selector for new tokens, if it offers one that matches its `select`.

    A class that overrides `select` but inherits `newest` is taken at its `select` alone.

    Args:
        indexer: Who selects.
        k: Key buffer `[room, D]`.
        heads: Query heads H.
        topk: Token budget k.
        ends: Least and greatest number of keys at its calls.
    """
    if "select" in vars(indexer):
        return None
    for cls in type(indexer).__mro__:
        if "newest" in vars(cls):
            return indexer.newest(k, heads, topk, ends)  # type: ignore[attr-defined]
        if "select" in vars(cls):
            return None
    return None
