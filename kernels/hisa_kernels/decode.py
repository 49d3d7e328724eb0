"""Public operators of a decode step: one query a sequence, keys in a matrix or in pages.

A decoder owns its workspaces and never looks at what is in the tensors it is given: with the GPU kernels a
step neither waits for the device nor allocates, its launches depend on the capacity alone, and a CUDA graph
of it serves any lengths.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import torch
from torch import Tensor

from hisa_kernels.beside import Beside
from hisa_kernels.checks import SCORING_DTYPES, check_device, check_extent, check_positive, check_tensor
from hisa_kernels.decode_keys import DecodeKeys, PagedKeys, SequenceKeys, paged
from hisa_kernels.dispatch import BACKENDS
from hisa_kernels.options import FORCED, POOLINGS, check_choice

__all__ = ["FlatDecoder", "HisaDecoder", "PagedKeys", "SequenceKeys", "paged"]


OPEN_FORCED = FORCED["first_last"]
"""From so many forced blocks on, the last one is among them."""


def _operators(
    backend: str, keys: DecodeKeys, heads: int, topk: int, block_size: int | None = None
) -> ModuleType:
    """The module whose operators run.

    Raises:
        ValueError: `backend` is unknown.
        RuntimeError: the kernels are asked for where they cannot run.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}: choose one of {', '.join(BACKENDS)}")
    why: str | None = f"keys are on {keys.device}, not on a CUDA device"
    if backend != "reference" and keys.device.type == "cuda":
        if importlib.util.find_spec("tilelang") is None:
            why = "the tilelang package is missing: install hisa-eval[kernels]"
        else:
            kernels = importlib.import_module("hisa_kernels.tilelang.decode")
            why = kernels.refusal(keys.dtype, keys.dim, heads, topk, block_size)
            if why is None:
                return kernels
    if backend == "tilelang":
        raise RuntimeError(f"the decode kernels cannot run: {why}; pass backend='auto'")
    return importlib.import_module("hisa_kernels.reference.decode")


def _check_step(q: Tensor, keys: DecodeKeys, weights: Tensor, lengths: Tensor, capacity: int) -> None:
    """Refuses queries, keys, gates and lengths that do not belong together.

    Raises:
        ValueError: shapes, dtypes or devices disagree.
    """
    check_tensor("q", q, "batch H D", SCORING_DTYPES)
    check_extent("q", q, 0, keys.batch, "the number of sequences")
    check_extent("q", q, 2, keys.dim, "the keys")
    check_tensor("weights", weights, "batch H", (torch.float32,))
    check_extent("weights", weights, 0, keys.batch, "the number of sequences")
    check_extent("weights", weights, 1, q.shape[1], "q")
    _check_lengths(keys, lengths, capacity)
    for name, tensor in (("q", q), ("weights", weights)):
        if tensor.device != keys.device:
            raise ValueError(
                f"{name} is on {tensor.device} but the keys are on {keys.device}: move both to one"
            )
    if q.dtype != keys.dtype:
        raise ValueError(f"q is {q.dtype} but the keys are {keys.dtype}: convert q")


def _check_lengths(keys: DecodeKeys, lengths: Tensor, capacity: int) -> None:
    check_tensor("lengths", lengths, "batch", (torch.int32,))
    check_extent("lengths", lengths, 0, keys.batch, "the number of sequences")
    if lengths.device != keys.device:
        raise ValueError(
            f"lengths are on {lengths.device} but the keys are on {keys.device}: move both to one"
        )
    if keys.capacity > capacity:
        raise ValueError(
            f"sequences have room for {keys.capacity} tokens but the decoder for {capacity}: make it larger"
        )


class FlatDecoder:
    """Flat selection of a decode step: every token scored, the best k kept; ties go to the lower token.

    Args:
        batch: Most sequences.
        capacity: Most tokens a sequence.
        topk: Token budget k.
        device: Where it runs; the workspace is one score a token, `[batch, capacity]` f32.
        backend: `"reference"` is plain PyTorch, which does wait for the device; `"tilelang"` are the kernels;
            `"auto"` takes the kernels where they can run. They take bf16 or FP8 keys of 32, 64 or 128
            dimensions on CUDA and up to 128 heads; heads that are no multiple of 8 cost an allocation a step.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self, batch: int, capacity: int, topk: int, *, device: torch.device | str, backend: str = "auto"
    ) -> None:
        for name, value in (("batch", batch), ("capacity", capacity), ("topk", topk)):
            check_positive(name, value)
        self.batch, self.capacity, self.topk, self._backend = batch, capacity, topk, backend
        self._scores = torch.empty(batch * capacity, dtype=torch.float32, device=device)
        self._out = torch.empty((batch, topk), dtype=torch.int32, device=device)

    @torch.no_grad()
    def scores(self, q: Tensor, keys: DecodeKeys, weights: Tensor, lengths: Tensor) -> Tensor:
        """Scores of every token.

        Args:
            q: Queries `[batch, H, D]` in the keys' dtype (the scale of FP8 ones folded into `weights`).
            keys: Keys of the sequences, the new token's among them.
            weights: Gates `[batch, H]` f32.
            lengths: Tokens of each sequence, the new one counted, `[batch]` int32.

        Returns:
            Scores `[batch, keys.capacity]` f32, valid until the next step; what lies at and behind a
            sequence's length is undefined.

        Raises:
            ValueError: arguments disagree.
            RuntimeError: the backend cannot run here.
        """
        _check_step(q, keys, weights, lengths, self.capacity)
        if keys.batch > self.batch:
            raise ValueError(f"there are {keys.batch} sequences but the decoder was made for {self.batch}")
        out = self._scores[: keys.batch * keys.capacity].view(keys.batch, keys.capacity)
        _operators(self._backend, keys, q.shape[1], self.topk).score_all(q, keys, weights, lengths, out)
        return out

    def select(self, q: Tensor, keys: DecodeKeys, weights: Tensor, lengths: Tensor) -> Tensor:
        """The best tokens of each sequence; equals the last row of `select_flat` over it.

        Args: As of `scores`.

        Returns:
            Tokens by their place in the sequence `[batch, topk]` int32, ascending, −1 at the end; valid until
            the next step.

        Raises: As of `scores`.
        """
        scores = self.scores(q, keys, weights, lengths)
        out = self._out[: keys.batch]
        _operators(self._backend, keys, q.shape[1], self.topk).best_columns(scores, lengths, self.topk, out)
        return out


class HisaDecoder:
    """HISA selection of a decode step, with the pooled keys of every sequence kept from step to step.

    After a token's key has been written, `update` pools the open block again (from its own keys, so that the
    pooled keys equal pooling from scratch bit for bit), then `select` chooses. A sequence that ends is simply
    replaced: `update` with `new_tokens` of the new one's length pools all of its blocks.

    Args:
        batch: Most sequences.
        capacity: Most tokens a sequence.
        dim: Head dimension D.
        topk: Token budget k.
        block_size: Tokens a block, B. The kernels take powers of two from 8 to 256.
        num_blocks: Blocks a query, m, forced ones counted; m·B must be at least `topk`.
        pooling: `"mean"` or `"max"`.
        forced: `"none"`, `"first"`, `"first_last"` or `"first_last2"`, as of `hisa_kernels.select_blocks`.
        device: Where it runs.
        backend: As of `FlatDecoder`.

    Attributes:
        pooled: Pooled keys `[batch, ⌈capacity/B⌉, D]` f32.

    Raises:
        ValueError: an argument is out of range.

    Source: HISA, arXiv 2603.28458, equations 4 to 9, for a single query.
    """

    def __init__(
        self,
        batch: int,
        capacity: int,
        dim: int,
        topk: int,
        *,
        block_size: int,
        num_blocks: int,
        pooling: str = "mean",
        forced: str = "first_last",
        device: torch.device | str,
        backend: str = "auto",
    ) -> None:
        sizes = {"batch": batch, "capacity": capacity, "dim": dim, "topk": topk}
        for name, value in (*sizes.items(), ("block_size", block_size), ("num_blocks", num_blocks)):
            check_positive(name, value)
        check_choice("pooling", pooling, POOLINGS)
        check_choice("forced", forced, tuple(FORCED))
        if num_blocks * block_size < topk:
            raise ValueError(
                f"{num_blocks} blocks of {block_size} hold fewer than topk {topk} tokens: pass more blocks"
            )
        self.batch, self.capacity, self.topk, self._backend = batch, capacity, topk, backend
        self.block_size, self.pooling = block_size, pooling
        # Where m is smaller than their number, forced blocks take it up in their order.
        self._n_forced = min(FORCED[forced], num_blocks)
        most = -(-capacity // block_size)

        def make(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        self.pooled = torch.zeros((batch, most, dim), dtype=torch.float32, device=device)
        # The open block is the last: where it is forced, a step does not need its pooled key.
        self._beside = Beside(self.pooled.device) if self._n_forced >= OPEN_FORCED else None
        self._block_scores = make(batch, most)
        self._counts = make(batch, dtype=torch.int32)
        self._blocks = make(batch, num_blocks, dtype=torch.int32)
        self._scores = make(batch, num_blocks * block_size)
        self._out = make(batch, topk, dtype=torch.int32)

    def _check(self, keys: DecodeKeys) -> None:
        if keys.batch > self.batch or keys.dim != self.pooled.shape[2]:
            raise ValueError(
                f"there are {keys.batch} sequences of dimension {keys.dim} but the decoder was made for "
                f"{self.batch} of {self.pooled.shape[2]}"
            )
        check_device(
            "keys", keys.table if isinstance(keys, PagedKeys) else keys.k, self.pooled, "the decoder"
        )

    @torch.no_grad()
    def update(self, keys: DecodeKeys, lengths: Tensor, new_tokens: int = 1) -> None:
        """Pools the blocks that the newest tokens of each sequence lie in.

        Args:
            keys: Keys of the sequences, the new tokens' among them.
            lengths: Tokens of each sequence, the new ones counted, `[batch]` int32.
            new_tokens: How many of them are new, at most; 1 for a decode step, the longest length for
                sequences that have just come in.

        Raises:
            ValueError: arguments disagree.
            RuntimeError: the backend cannot run here.
        """
        check_positive("new_tokens", new_tokens)
        _check_lengths(keys, lengths, self.capacity)
        self._check(keys)
        run = _operators(self._backend, keys, 1, self.topk, self.block_size)
        run.pool_new(keys, lengths, new_tokens, self.block_size, self.pooling, self.pooled[: keys.batch])

    @torch.no_grad()
    def choose(self, q: Tensor, keys: DecodeKeys, weights: Tensor, lengths: Tensor) -> Tensor:
        """The best blocks of each sequence, `select`'s first stage.

        Args: As of `select`.

        Returns:
            Block numbers `[batch, num_blocks]` int32, ascending, −1 at the end; valid until the next step.

        Raises: As of `select`.
        """
        _check_step(q, keys, weights, lengths, self.capacity)
        self._check(keys)
        run = _operators(self._backend, keys, q.shape[1], self.topk, self.block_size)
        own = slice(keys.batch)
        scores, counts, blocks = self._block_scores[own], self._counts[own], self._blocks[own]
        pooled, n_forced = self.pooled[own], self._n_forced
        run.score_blocks(q, pooled, weights, lengths, self.block_size, n_forced, scores, counts)
        run.best_columns(scores, counts, blocks.shape[1], blocks)
        return blocks

    @torch.no_grad()
    def select(self, q: Tensor, keys: DecodeKeys, weights: Tensor, lengths: Tensor) -> Tensor:
        """The best tokens of the best blocks; equals the last row of `select_hisa` over each sequence.

        Args:
            q: Queries `[batch, H, D]` in the keys' dtype (the scale of FP8 ones folded into `weights`).
            keys: Keys of the sequences; `update` has seen all of them.
            weights: Gates `[batch, H]` f32.
            lengths: Tokens of each sequence `[batch]` int32.

        Returns:
            Tokens by their place in the sequence `[batch, topk]` int32, ascending, −1 at the end; valid until
            the next step.

        Raises:
            ValueError: arguments disagree.
            RuntimeError: the backend cannot run here.
        """
        blocks = self.choose(q, keys, weights, lengths)
        run = _operators(self._backend, keys, q.shape[1], self.topk, self.block_size)
        scores, out = self._scores[: keys.batch], self._out[: keys.batch]
        run.score_chosen(q, keys, weights, lengths, blocks, self.block_size, scores)
        run.best_tokens(scores, blocks, self.block_size, self.topk, out)
        return out

    @torch.no_grad()
    def step(self, q: Tensor, keys: DecodeKeys, weights: Tensor, lengths: Tensor) -> Tensor:
        """`update` for one new token a sequence, and `select`; on a GPU side by side where order has no say.

        Args: As of `select`.

        Returns: As of `select`.

        Raises: As of `select`.
        """
        if self._beside is None:
            self.update(keys, lengths)
            return self.select(q, keys, weights, lengths)
        with self._beside.work():
            self.update(keys, lengths)
        out = self.select(q, keys, weights, lengths)
        self._beside.join()
        return out
