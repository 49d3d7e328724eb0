"""A decode step on the GPU: `hisa_kernels.reference.decode` in kernels; none waits for the device."""

import functools

import torch
from torch import Tensor
from torch.nn.functional import pad

from hisa_kernels.checks import FP8
from hisa_kernels.decode_keys import DecodeKeys, PagedKeys
from hisa_kernels.tilelang.decode_pool_kernel import decode_blocks, decode_pool
from hisa_kernels.tilelang.decode_scores_kernel import TILE, decode_tiles
from hisa_kernels.tilelang.topk_indices import LARGEST_K, processors, top_columns, top_tokens

DIMS = (32, 64, 128)
"""Head dimensions of these kernels."""

MOST_HEADS = 128

SMALLEST_BLOCK, LARGEST_BLOCK = 8, 256

RESIDENT = 5
"""Thread blocks that a multiprocessor works on at once."""


def refusal(dtype: torch.dtype, dim: int, heads: int, topk: int, block_size: int | None) -> str | None:
    """Why the kernels cannot take such keys and settings, or None where they can."""
    if dtype not in (torch.bfloat16, FP8):
        return f"keys are {str(dtype).removeprefix('torch.')}, not bfloat16 or float8_e4m3fn"
    if dim not in DIMS:
        return f"the head dimension is {dim}, not one of {', '.join(map(str, DIMS))}"
    if heads > MOST_HEADS:
        return f"there are {heads} heads, more than {MOST_HEADS}"
    if topk > LARGEST_K:
        return f"topk is {topk}, more than {LARGEST_K}"
    if block_size is not None and not (
        SMALLEST_BLOCK <= block_size <= LARGEST_BLOCK and block_size & (block_size - 1) == 0
    ):
        return f"block_size is {block_size}, not a power of two from {SMALLEST_BLOCK} to {LARGEST_BLOCK}"
    return None


@functools.cache
def _nothing(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Stands for a matrix that is not given."""
    return torch.zeros((1, 1), dtype=dtype, device=device)


@functools.cache
def _zeros(device: torch.device, n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.int32, device=device)


def _parts(keys: DecodeKeys) -> tuple[Tensor, Tensor, Tensor]:
    """Keys `[pages, tokens, D]`, scales `[pages, tokens]` and the table, as the kernels take them."""
    if isinstance(keys, PagedKeys):
        return *keys.views(), keys.table
    scale = _nothing(keys.device, torch.float32) if keys.k_scale is None else keys.k_scale
    return keys.k, scale, _nothing(keys.device, torch.int32)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _even_heads(q: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The same queries with heads without weight added up to a multiple of 8."""
    more = -q.shape[1] % 8
    if more:
        raw = q.view(torch.uint8) if q.dtype == FP8 else q
        q, weights = pad(raw, (0, 0, 0, more)).view(q.dtype), pad(weights, (0, more))
    return q.contiguous(), weights.contiguous()


def _score(
    q: Tensor,
    keys: DecodeKeys,
    weights: Tensor,
    lengths: Tensor,
    blocks: Tensor | None,
    block_size: int,
    out: Tensor,
) -> None:
    q, weights = _even_heads(q, weights)
    batch, heads, dim = q.shape
    if out.numel() == 0:
        return
    k, scale, table = _parts(keys)
    paged = isinstance(keys, PagedKeys)
    run = decode_tiles(heads=heads, dim=dim, dtype=_name(keys.dtype), paged=paged, block_size=block_size)
    # Rounded down: one thread block too many would wait for all the others.
    wanted = RESIDENT * processors(q.device) // batch
    splits = max(1, min(wanted, -(-out.shape[1] // TILE)))
    chosen = _nothing(q.device, torch.int32) if blocks is None else blocks
    run(q, k, scale, weights, lengths, table, chosen, out, splits)


def score_all(q: Tensor, keys: DecodeKeys, weights: Tensor, lengths: Tensor, out: Tensor) -> None:
    """See `hisa_kernels.reference.decode.score_all`."""
    _score(q, keys, weights, lengths, None, 0, out)


def pool_new(
    keys: DecodeKeys, lengths: Tensor, new_tokens: int, block_size: int, pooling: str, pooled: Tensor
) -> None:
    """See `hisa_kernels.reference.decode.pool_new`."""
    k, scale, table = _parts(keys)
    run = decode_pool(
        dim=keys.dim,
        dtype=_name(keys.dtype),
        block_size=block_size,
        pooling=pooling,
        paged=isinstance(keys, PagedKeys),
    )
    turns = min((new_tokens - 1) // block_size + 2, pooled.shape[1]) if new_tokens > 1 else 1
    run(k, scale, lengths, table, pooled, new_tokens, turns)


def score_blocks(
    q: Tensor,
    pooled: Tensor,
    weights: Tensor,
    lengths: Tensor,
    block_size: int,
    n_forced: int,
    out: Tensor,
    counts: Tensor,
) -> None:
    """See `hisa_kernels.reference.decode.score_blocks`."""
    q, weights = _even_heads(q, weights)
    run = decode_blocks(
        heads=q.shape[1], dim=q.shape[2], dtype=_name(q.dtype), block_size=block_size, forced=n_forced
    )
    run(q, pooled, weights, lengths, out, counts)


def score_chosen(
    q: Tensor,
    keys: DecodeKeys,
    weights: Tensor,
    lengths: Tensor,
    blocks: Tensor,
    block_size: int,
    out: Tensor,
) -> None:
    """See `hisa_kernels.reference.decode.score_chosen`."""
    _score(q, keys, weights, lengths, blocks, block_size, out)


def best_columns(scores: Tensor, counts: Tensor, k: int, out: Tensor) -> None:
    """See `hisa_kernels.reference.decode.best_columns`."""
    top_columns(scores, _zeros(scores.device, len(scores)), counts, k, out=out, chained=True)


def best_tokens(scores: Tensor, blocks: Tensor, block_size: int, k: int, out: Tensor) -> None:
    """See `hisa_kernels.reference.decode.best_tokens`."""
    top_tokens(scores, blocks, _zeros(scores.device, len(scores)), block_size, k, out=out, chained=True)
