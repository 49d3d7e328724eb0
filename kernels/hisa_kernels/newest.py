"""Selection for a sequence's newest token, its keys in a buffer with room for more.

Each selector gives what `select_flat`, `select_hisa` or `select_block_sparse` gives for the last row of the
sequence, by the same kernels or the same operations. Its shapes depend on the buffer's room alone, and
`select` never waits for the device: a CUDA graph of it serves every length up to the room.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch
from torch import Tensor

from hisa_kernels.checks import check_positive, check_tensor
from hisa_kernels.dispatch import implementation
from hisa_kernels.options import BlockOptions
from hisa_kernels.reference import newest as reference
from hisa_kernels.reference.newest import Top
from hisa_kernels.reference.pool_keys import pool_keys

KEY_DTYPES = (torch.float32, torch.bfloat16)


class NewestFlat:
    """Flat selection, as `hisa_kernels.select_flat`.

    Args:
        k: The buffer of keys `[room, D]` f32 or bf16. It is read at every call; what lies at and behind a
            sequence's end has no say.
        heads: Query heads H.
        topk: Token budget k.
        ends: Least and greatest `end` that `select` will be given; by default any.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Raises:
        ValueError: an argument is out of range.
        RuntimeError: the backend cannot run here.
    """

    operator = "select_flat"

    def __init__(
        self,
        k: Tensor,
        heads: int,
        topk: int,
        *,
        ends: tuple[int, int] | None = None,
        backend: str = "auto",
    ) -> None:
        check_tensor("k", k, "room D", KEY_DTYPES)
        check_positive("heads", heads)
        check_positive("topk", topk)
        self._k, self._topk = k, topk
        self._run = self._module(heads, backend, None)
        self._top = self._best(backend)

    def _module(self, heads: int, backend: str, options: BlockOptions | None) -> ModuleType:
        """Where the operator for many rows runs, there this one does."""
        found = implementation(self.operator, backend, self._k, self._k)
        if found.__module__.startswith("hisa_kernels.tilelang."):
            kernels = importlib.import_module("hisa_kernels.tilelang.newest")
            if kernels.takes(self._k.shape[0], heads, self._k.shape[1], self._topk, options):
                return kernels
        return reference

    def _best(self, backend: str) -> Top:
        """What finds the best tokens: where the operator on a score matrix runs, there this does."""
        found = implementation("topk_indices", backend, self._k.new_empty(0, dtype=torch.float32))
        if found.__module__.startswith("hisa_kernels.tilelang."):
            kernels = importlib.import_module("hisa_kernels.tilelang.newest")
            if self._topk <= kernels.LARGEST_K and self._k.shape[0] <= kernels.MOST_COLUMNS:
                return kernels.best
        return reference.best

    def serves(self, ends: tuple[int, int]) -> bool:
        """Whether it serves such ends as one that is made for them would.

        Args:
            ends: Least and greatest `end`.
        """
        return True

    @torch.no_grad()
    def begin(self, length: int) -> None:
        """Take up a sequence, or another length of it.

        Args:
            length: Keys that it holds already.
        """

    @torch.no_grad()
    def select(self, q: Tensor, weights: Tensor, end: Tensor) -> Tensor:
        """Select for the newest token, whose key lies in the buffer already.

        Args:
            q: Query `[1, H, D]` in the keys' dtype.
            weights: Gates `[1, H]` f32.
            end: How many keys there are now, the newest counted, `[1]` int32. Calls after `begin` go on
                token by token.

        Returns:
            Positions `[1, W]` int32, ascending, −1 at the end.
        """
        return self._run.flat(q, self._k, weights, end, self._topk, self._top)


class _NewestOfBlocks(NewestFlat):
    """What the two selectors with a block stage share: pooled keys, kept up to date.

    Args:
        k: As of `NewestFlat`.
        heads: As of `NewestFlat`.
        topk: As of `NewestFlat`.
        options: How blocks are formed and chosen: a fixed number of them.
        ends: As of `NewestFlat`.
        backend: As of `NewestFlat`.

    Raises:
        ValueError: an argument is out of range, or the number of blocks is a ratio.
        RuntimeError: the backend cannot run here.
    """

    def __init__(
        self,
        k: Tensor,
        heads: int,
        topk: int,
        options: BlockOptions,
        *,
        ends: tuple[int, int] | None = None,
        backend: str = "auto",
    ) -> None:
        if options.ratio is not None:
            raise ValueError("ratio makes shapes depend on the length: pass a fixed num_blocks")
        super().__init__(k, heads, topk, ends=ends, backend=backend)
        self._options = options
        self._run = self._module(heads, backend, options)
        n_blocks = -(-k.shape[0] // options.block_size)
        self._pooled = torch.zeros((n_blocks, k.shape[1]), dtype=torch.float32, device=k.device)

    @torch.no_grad()
    def begin(self, length: int) -> None:
        """See `NewestFlat.begin`."""
        size = self._options.block_size
        made = pool_keys(self._k[:length], size, pooling=self._options.pooling, k_scale=None)
        self._pooled[: len(made)] = made

    def _pool(self, end: Tensor) -> None:
        # The reference for both backends: it is what keeps a sequence's pooled keys in prefill too.
        reference.pool_open(self._k, end, self._options.block_size, self._options.pooling, self._pooled)


class NewestHisa(_NewestOfBlocks):
    """HISA selection, as `hisa_kernels.select_hisa`; arguments as of `NewestFlat`, and `options`."""

    operator = "select_hisa"

    def __init__(
        self,
        k: Tensor,
        heads: int,
        topk: int,
        options: BlockOptions,
        *,
        ends: tuple[int, int] | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__(k, heads, topk, options, ends=ends, backend=backend)
        self._pruned = None if ends is None else self._prunes(ends)

    def _prunes(self, ends: tuple[int, int]) -> bool | None:
        """Whether rows with such ends see more blocks than they may choose; None where only some do."""
        assert self._options.num_blocks is not None
        held = self._options.num_blocks * self._options.block_size
        return ends[0] > held if (ends[0] > held) == (ends[1] > held) else None

    def serves(self, ends: tuple[int, int]) -> bool:
        """See `NewestFlat.serves`."""
        return self._pruned == self._prunes(ends)

    @torch.no_grad()
    def select(self, q: Tensor, weights: Tensor, end: Tensor) -> Tensor:
        """See `NewestFlat.select`."""
        if self._pruned is not False:
            self._pool(end)
        given = (q, self._k, weights, end, self._topk, self._options, self._pooled)
        return self._run.hisa(*given, pruned=self._pruned, top=self._top)


class NewestBlockSparse(_NewestOfBlocks):
    """Block-sparse selection, as `hisa_kernels.select_block_sparse`; arguments as of `NewestHisa`."""

    operator = "select_block_sparse"

    @torch.no_grad()
    def select(self, q: Tensor, weights: Tensor, end: Tensor) -> Tensor:
        """See `NewestFlat.select`."""
        self._pool(end)
        return self._run.block_sparse(q, self._k, weights, end, self._options, self._pooled)
