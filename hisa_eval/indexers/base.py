"""What an indexer is: the one protocol that models, fidelity probes and the conformance suite rely on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class IndexerState(Protocol):
    """What an indexer remembers of one sequence between calls (a pooled-key cache, say)."""

    def truncate(self, length: int) -> None:
        """Forget every token at position `length` and later."""
        ...


class NewestSelector(Protocol):
    """Selects for a sequence's newest token, token after token, without a look at what its tensors hold.

    It chooses what its indexer's `select` chooses for the last row, with shapes that depend on the key
    buffer's room alone and without waiting for the device, so that a CUDA graph of it serves any length.
    """

    def serves(self, ends: tuple[int, int]) -> bool:
        """Whether one that is made for that least and greatest `end` would do the same as this one."""
        ...

    def begin(self, length: int) -> None:
        """Take up a sequence whose first `length` keys are in the buffer; may wait for the device."""
        ...

    def select(self, q: Tensor, weights: Tensor, end: Tensor) -> Tensor:
        """The keys that the newest token attends to.

        Args:
            q: Its indexer query `[1, H, D]`.
            weights: Its gates `[1, H]` f32.
            end: Keys in the buffer, its own counted, `[1]` int32; one more at each call after `begin`.

        Returns:
            Absolute key positions `[1, W]` int32, ascending, −1 at the end.
        """
        ...


@runtime_checkable
class Indexer(Protocol):
    """Chooses the keys that each query attends to.

    A variant is any class with these members, registered under the entry-point group
    `hisa_eval.indexers`; `pytest --pyargs hisa_eval.indexers.conformance --indexer NAME` holds its laws.
    A further method, `newest`, makes decoding on a GPU fast: see `hisa_eval.indexers.newest`.
    """

    name: str
    """Registered name, e.g. `"hisa"`."""

    @property
    def label(self) -> str:
        """Name with every option that differs from its default, e.g. `"hisa:block_size=64"`."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every option with its value, JSON types only."""
        ...

    def exact_below(self, topk: int) -> int:
        """Rows with at most this many visible keys get flat DSA's own selection by construction."""
        ...

    def new_state(self) -> IndexerState | None:
        """A fresh state for one sequence, or None where nothing is remembered."""
        ...

    def select(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        starts: Tensor,
        ends: Tensor,
        topk: int,
        *,
        k_scale: Tensor | None = None,
        state: IndexerState | None = None,
    ) -> Tensor:
        """The keys that each query attends to.

        Args:
            q: Indexer queries `[M, H, D]` (f32, bf16, or FP8 e4m3 with its scale folded into `weights`).
            k: Indexer keys `[N, D]` (f32, bf16, or FP8 e4m3).
            weights: Per-head gates `[M, H]` f32, softmax scale and H^-0.5 folded in.
            starts: First visible key of each query `[M]` int32.
            ends: One past the last visible key of each query `[M]` int32.
            topk: Token budget k.
            k_scale: Per-token scale `[N]` f32 of FP8 keys.
            state: What `new_state` gave for this sequence; `k` then holds all keys of the sequence so far
                and every `starts` is 0. Must not change the result, only its cost.

        Returns:
            Absolute key positions `[M, W]` int32, ascending within a row, −1 at the end where empty;
            W is `topk` for token-level indexers, their own budget for block-level ones.

        Raises:
            ValueError: shapes or dtypes disagree, a value is NaN or infinite, or the budget is infeasible.
        """
        ...
