"""The key-value cache of one sequence: latents and indexer keys in buffers that grow and can be cut."""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST_ROOM = 4096


class _Buffer:
    """Rows `[T, D]` behind a view shaped like what was first appended; room doubles."""

    def __init__(self) -> None:
        self._rows: Tensor | None = None
        self._lead: tuple[int, ...] = ()
        self.length = 0

    def append(self, states: Tensor) -> Tensor:
        """Add `[1, …, S, D]` and return everything so far, `[1, …, T, D]`."""
        new = states.reshape(-1, states.shape[-1])
        self._lead = tuple(states.shape[:-2])
        end = self.length + new.shape[0]
        if self._rows is None or self._rows.shape[0] < end:
            room = max(end, 2 * self.length, _FIRST_ROOM)
            grown = torch.empty(room, new.shape[1], dtype=new.dtype, device=new.device)
            if self._rows is not None:
                grown[: self.length] = self._rows[: self.length]
            self._rows = grown
        self._rows[self.length : end] = new
        self.length = end
        return self._rows[:end].view(*self._lead, end, -1)


class SequenceCache:
    """What transformers' layers ask of a cache, for batch size 1.

    Transformers hands over latents and rotated keys (5.23) or the concatenation of both and the latents
    (5.17); either is kept as it comes. `truncate` makes a prefix reusable.
    """

    is_compileable = False

    def __init__(self) -> None:
        self._states: dict[int, tuple[_Buffer, _Buffer]] = {}
        self._indexer_keys: dict[int, _Buffer] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append one layer's states `[1, 1, S, D]` and return all of them `[1, 1, T, D]`."""
        keys, values = self._states.setdefault(layer_idx, (_Buffer(), _Buffer()))
        return keys.append(key_states), values.append(value_states)

    def update_indexer(self, key_states: Tensor, layer_idx: int) -> Tensor:
        """Append one layer's indexer keys `[1, S, D]` and return all of them `[1, T, D]`."""
        return self._indexer_keys.setdefault(layer_idx, _Buffer()).append(key_states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens held."""
        return self._states[layer_idx][0].length if layer_idx in self._states else 0

    def truncate(self, length: int) -> None:
        """Forget every token at position `length` and later."""
        for buffer in (*self._indexer_keys.values(), *(b for pair in self._states.values() for b in pair)):
            buffer.length = min(buffer.length, length)
