"""The block stage of decode rows over the engine's paged FP8 keys: no wait for the device, fixed shapes."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_eval.indexers.blocks import BlockIndexer
from hisa_eval.serving.masking import keep_blocks
from hisa_kernels.decode import HisaDecoder, PagedKeys
from hisa_kernels.decode_keys import PAGE_TOKENS


class PagedBlocks:
    """Chooses the blocks of decode rows and masks their logits.

    It keeps nothing of a sequence: pages may be moved, shared and reused as the engine likes, and every step
    pools the keys of every row again. The workspace is one for all layers; a larger batch or table makes a
    new one, and the old one stays alive for the CUDA graphs that hold it.

    Args:
        indexer: Who chooses.
        topk: Token budget k.
    """

    def __init__(self, indexer: BlockIndexer, topk: int) -> None:
        self._options = indexer.options
        self._num_blocks = indexer.least_blocks(topk)
        # The decoder refuses k above m·B, which block-sparse may have; its own top-k is not used here.
        self._topk = min(topk, self._num_blocks * self._options.block_size)
        self._decoders: list[HisaDecoder] = []
        self.seen: Tensor | None = None
        """Calls and rows with keys so far `[2]` int64, counted on the device: replayed graphs count too."""

    def reserve(self, rows: int, capacity: int, dim: int, device: torch.device) -> HisaDecoder:
        """A workspace of at least that size.

        Args:
            rows: Most decode rows.
            capacity: Most tokens a sequence.
            dim: Head dimension D.
            device: Where it runs.

        Raises:
            RuntimeError: it would have to be made while a CUDA graph is captured.
        """
        for decoder in reversed(self._decoders):
            if decoder.batch >= rows and decoder.capacity >= capacity and decoder.pooled.shape[2] == dim:
                return decoder
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                f"hisa-eval: a CUDA graph of {rows} rows needs a workspace that was not made before its "
                f"capture – start the engine with --enforce-eager"
            )
        if self._decoders:
            rows = max(rows, self._decoders[-1].batch)
            capacity = max(capacity, self._decoders[-1].capacity)
        decoder = HisaDecoder(
            rows,
            capacity,
            dim,
            self._topk,
            block_size=self._options.block_size,
            num_blocks=self._num_blocks,
            pooling=self._options.pooling,
            forced=self._options.forced,
            device=device,
            # On a GPU nothing but the kernels will do: plain PyTorch waits for the device.
            backend="tilelang" if device.type == "cuda" else "reference",
        )
        self._decoders.append(decoder)
        if self.seen is None:
            self.seen = torch.zeros(2, dtype=torch.int64, device=device)
        return decoder

    def mask(
        self, logits: Tensor, q: Tensor, pages: Tensor, weights: Tensor, lengths: Tensor, table: Tensor
    ) -> None:
        """Puts −inf outside the chosen blocks of each decode row.

        Args:
            logits: `[batch·n, T]` f32, column c is key c of the row's sequence; changed in place.
            q: Queries `[batch, n, H, D]` FP8 e4m3, their scale folded into `weights`.
            pages: The engine's cache `[P, 64, 1, D + 4]` uint8.
            weights: Gates `[batch·n, H]` f32.
            lengths: Keys that each row sees `[batch, n]` or `[batch·n]` int32, or those of each sequence's
                last row, `[batch]` or `[batch, 1]`.
            table: Pages of each sequence `[batch, most pages]` int32.

        Raises:
            RuntimeError: the workspace or the kernels cannot be had.
            ValueError: arguments disagree.
        """
        batch, n = q.shape[:2]
        seen = row_lengths(lengths, batch, n)
        keys = PagedKeys(
            pages.squeeze(2), (table[:batch] if n == 1 else table[:batch].repeat_interleave(n, 0))
        )
        decoder = self.reserve(batch * n, keys.capacity, keys.dim, q.device)
        decoder.update(keys, seen, keys.capacity)
        blocks = decoder.choose(q.flatten(0, 1), keys, weights, seen)
        keep_blocks(logits, blocks, self._options.block_size)
        assert self.seen is not None
        self.seen[0] += 1
        self.seen[1] += (seen > 0).sum()


def row_lengths(lengths: Tensor, batch: int, n: int) -> Tensor:
    """Keys that each of n rows of a sequence sees `[batch·n]` int32.

    Args:
        lengths: Of each row, or of each sequence's last row: the one before it sees one key less.
        batch: Sequences.
        n: Rows of each.
    """
    if lengths.numel() == batch * n:
        return lengths.reshape(-1).contiguous()
    back = torch.arange(1 - n, 1, dtype=lengths.dtype, device=lengths.device)
    return (lengths.reshape(-1, 1) + back).clamp_(min=0).flatten()


def capacity_of(max_model_len: int) -> int:
    """Tokens of the pages of a sequence of that length."""
    return -(-max_model_len // PAGE_TOKENS) * PAGE_TOKENS
