"""What the swapped-in modules of one model share: who selects, and which rows are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hisa_eval.indexers.base import Indexer, IndexerState
from hisa_eval.indexers.wrapped import states_of

Watcher = Callable[[int, Tensor, Tensor, Tensor, Tensor], None]
"""Called with layer, `q [S, H, D]`, `k [T, D]`, `weights [S, H]` and `ends [S]` of each chunk."""

Stepper = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Called with layer, `q [1, H, D]`, key buffer `[room, D]`, `weights [1, H]`; gives a selection `[1, W]`."""

Taker = Callable[[int, Tensor], None]
"""Called with layer and the selection `[R, W]` that the attention is about to use, of the rows computed."""

AttentionWatcher = Callable[[int, Callable[[Tensor], Tensor], Tensor, float], None]
"""Called with layer, a function from rows of the chunk `[R]` to their attention queries `[R, H, r + rope]`,
all latents with rotated keys `[T, r + rope]`, and the softmax scale."""


@dataclass
class Runtime:
    """State of the pass that is under way.

    Attributes:
        topk: Token budget k.
        n_layers: Layers of the model.
        indexer: Who selects.
        states: The indexer's memory of the sequence, one per layer.
        first_row: In the last layer, rows of the chunk before this one are not asked for: their queries
            are not computed. None asks for all rows.
        watcher: Sees every layer's indexer inputs.
        taker: Sees every layer's selection.
        stepper: Selects in place of `indexer` while the cache hands out its whole room: see `stepping`.
        attention_watcher: Sees every layer's attention inputs.
    """

    topk: int
    n_layers: int
    indexer: Indexer | None = None
    states: dict[int, IndexerState | None] = field(default_factory=dict)
    first_row: int | None = None
    watcher: Watcher | None = None
    taker: Taker | None = None
    stepper: Stepper | None = None
    attention_watcher: AttentionWatcher | None = None

    def begin(self, indexer: Indexer) -> None:
        """Start a new sequence."""
        self.indexer = indexer
        self.states = dict(enumerate(states_of(indexer, self.n_layers)))

    def truncate(self, length: int) -> None:
        """Forget every token at position `length` and later."""
        for state in self.states.values():
            if state is not None:
                state.truncate(length)

    def needed_from(self, layer: int, n_rows: int) -> int:
        """First row of a chunk of `n_rows` whose output of `layer` is used."""
        if layer < self.n_layers - 1 or self.first_row is None:
            return 0
        return min(self.first_row, n_rows)

    def select(self, layer: int, q: Tensor, k: Tensor, weights: Tensor) -> Tensor:
        """Select for one chunk at the end of the sequence.

        Args:
            layer: Its number.
            q: Queries `[S, H, D]`.
            k: All keys so far `[T, D]`.
            weights: Gates `[S, H]` f32, all scales folded in.

        Returns:
            Selection `[R, W]` int32 of the needed rows alone.
        """
        if self.stepper is not None:
            return self.stepper(layer, q, k, weights)
        assert self.indexer is not None
        n_rows, n_keys = q.shape[0], k.shape[0]
        ends = torch.arange(n_keys - n_rows + 1, n_keys + 1, dtype=torch.int32, device=k.device)
        if self.watcher is not None:
            self.watcher(layer, q, k, weights, ends)
        first = self.needed_from(layer, n_rows)
        if first == n_rows:
            return torch.empty(0, 0, dtype=torch.int32, device=k.device)
        starts = torch.zeros_like(ends)
        chosen = self.indexer.select(
            q[first:], k, weights[first:], starts[first:], ends[first:], self.topk, state=self.states[layer]
        )
        if self.taker is not None:
            self.taker(layer, chosen)
        return chosen
