"""The key-value cache of one sequence: latents and indexer keys in buffers that grow and can be cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_GRAIN = 4096
"""Rows that buffers grow by at least."""


def room_for(length: int) -> int:
    """Rows of a buffer for `length` tokens: at most an eighth more, so that near lengths share one size."""
    grain = max(_GRAIN, 1 << max((length - 1).bit_length() - 4, 0))
    return -(-length // grain) * grain


class Buffer:
    """Rows `[T, D]` behind a view shaped like what was first appended."""

    def __init__(self, room: int) -> None:
        self._rows: Tensor | None = None
        self._lead: tuple[int, ...] = ()
        self._room = room
        self.length = 0

    def reserve(self, room: int) -> None:
        """Make room for that many rows."""
        self._room = max(self._room, room)
        old = self._rows
        if old is None or old.shape[0] >= self._room:
            return
        self._rows = torch.empty(self._room, old.shape[1], dtype=old.dtype, device=old.device)
        self._rows[: self.length] = old[: self.length]

    def append(self, states: Tensor) -> Tensor:
        """Add `[1, …, S, D]` and return everything so far, `[1, …, T, D]`."""
        new = states.reshape(-1, states.shape[-1])
        self._lead = tuple(states.shape[:-2])
        end = self.length + new.shape[0]
        if end > self._room:
            self.reserve(room_for(max(end, 2 * self.length)))
        if self._rows is None:
            self._rows = torch.empty(self._room, new.shape[1], dtype=new.dtype, device=new.device)
        self._rows[self.length : end] = new
        self.length = end
        return self._rows[:end].view(*self._lead, end, -1)

    def write(self, states: Tensor, position: Tensor) -> Tensor:
        """Put one row `[1, …, 1, D]` at `position` `[1]` int64; return the whole room `[1, …, room, D]`."""
        rows = self.rows
        rows.index_copy_(0, position, states.reshape(1, -1))
        return rows.view(*self._lead, *rows.shape)

    @property
    def rows(self) -> Tensor:
        """The whole room `[room, D]`; something must have been appended."""
        assert self._rows is not None
        return self._rows


class SequenceCache:
    """What transformers' layers ask of a cache, for batch size 1.

    Latents and rotated keys lie side by side, so that attention reads both without copying either.
    Transformers hands over the two (5.23) or their concatenation and the latents (5.17). `truncate` makes a
    prefix reusable, and buffers stay when a sequence is forgotten.

    Args:
        rank: Width of the latents.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._states: dict[int, Buffer] = {}
        self._indexer_keys: dict[int, Buffer] = {}
        self._room = _GRAIN
        self._position: Tensor | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append one layer's states `[1, 1, S, D]` and return all of them `[1, 1, T, D]`."""
        apart = key_states.shape[-1] == self._rank
        new = torch.cat((key_states, value_states), dim=-1) if apart else key_states
        joined = self._put(self._states, layer_idx, new)
        if apart:
            return joined[..., : self._rank], joined[..., self._rank :]
        return joined, joined[..., : self._rank]

    def update_indexer(self, key_states: Tensor, layer_idx: int) -> Tensor:
        """Append one layer's indexer keys `[1, S, D]` and return all of them `[1, T, D]`."""
        return self._put(self._indexer_keys, layer_idx, key_states)

    def _put(self, buffers: dict[int, Buffer], layer: int, states: Tensor) -> Tensor:
        if self._position is not None:
            return buffers[layer].write(states, self._position)
        return buffers.setdefault(layer, Buffer(self._room)).append(states)

    @contextmanager
    def writing_at(self, position: Tensor) -> Iterator[None]:
        """Meanwhile updates put one token at `position` `[1]` int64 and return the whole room.

        The cache's own length does not change.
        """
        self._position = position
        try:
            yield
        finally:
            self._position = None

    def claim(self, length: int) -> None:
        """Hold `length` tokens, those behind the ones held being there by `writing_at`."""
        for buffer in self._buffers():
            buffer.length = length

    def indexer_keys(self) -> dict[int, Tensor]:
        """Each layer's buffer of indexer keys `[room, D]`; undefined behind the tokens held."""
        return {layer: buffer.rows for layer, buffer in self._indexer_keys.items()}

    def places(self) -> tuple[int, ...]:
        """Where the buffers lie; as long as this stays, what was recorded of them may be used again."""
        return tuple(buffer.rows.data_ptr() for buffer in self._buffers())

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens held."""
        return self._states[layer_idx].length if layer_idx in self._states else 0

    def has_room(self, length: int) -> bool:
        """Whether `length` tokens fit before a buffer moves."""
        return length <= self._room

    def reserve(self, length: int) -> None:
        """Make room for `length` tokens, so that no buffer moves before there are more."""
        self._room = max(self._room, room_for(length))
        for buffer in self._buffers():
            buffer.reserve(self._room)

    def truncate(self, length: int) -> None:
        """Forget every token at position `length` and later."""
        for buffer in self._buffers():
            buffer.length = min(buffer.length, length)

    def _buffers(self) -> tuple[Buffer, ...]:
        return (*self._indexer_keys.values(), *self._states.values())


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
