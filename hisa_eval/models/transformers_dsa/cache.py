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

    Latents and rotated keys lie side by side, so that attention reads both without copying either.
    Transformers hands over the two (5.23) or their concatenation and the latents (5.17). `truncate` makes a
    prefix reusable.

    Args:
        rank: Width of the latents.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._states: dict[int, _Buffer] = {}
        self._indexer_keys: dict[int, _Buffer] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append one layer's states `[1, 1, S, D]` and return all of them `[1, 1, T, D]`."""
        apart = key_states.shape[-1] == self._rank
        new = torch.cat((key_states, value_states), dim=-1) if apart else key_states
        joined = self._states.setdefault(layer_idx, _Buffer()).append(new)
        if apart:
            return joined[..., : self._rank], joined[..., self._rank :]
        return joined, joined[..., : self._rank]

    def update_indexer(self, key_states: Tensor, layer_idx: int) -> Tensor:
        """Append one layer's indexer keys `[1, S, D]` and return all of them `[1, T, D]`."""
        return self._indexer_keys.setdefault(layer_idx, _Buffer()).append(key_states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens held."""
        return self._states[layer_idx].length if layer_idx in self._states else 0

    def truncate(self, length: int) -> None:
        """Forget every token at position `length` and later."""
        for buffer in (*self._indexer_keys.values(), *self._states.values()):
            buffer.length = min(buffer.length, length)


def side_by_side(left: Tensor, right: Tensor) -> Tensor | None:
    """The one tensor that `left` and `right` are the two halves of along the last dimension, if there is one.

    Args:
        left: `[…, a]`.
        right: `[…, b]`.

    Returns:
        A view `[…, a + b]`, or None where they are not neighbours in memory.
    """
    width = left.shape[-1]
    neighbours = right.data_ptr() == left.data_ptr() + width * left.element_size()
    if not neighbours or left.stride() != right.stride() or left.shape[:-1] != right.shape[:-1]:
        return None
    if left.stride(-2) < width + right.shape[-1]:
        return None
    return left.as_strided((*left.shape[:-1], width + right.shape[-1]), left.stride())
