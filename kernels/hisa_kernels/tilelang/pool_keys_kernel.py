"""The TileLang program of pooled keys: one thread block a block of keys.

The mean adds along the tree of the reference (first half plus second half, again and again), so that both
give the same bits. Threads that share columns hold every R-th key of the block each: they add the upper
levels of the tree in registers, the last ones go through shared memory.
"""

from typing import Any

import tilelang.language as T

from hisa_kernels.tilelang.build import kernel
from hisa_kernels.tilelang.score_parts import FP8, OPTIONS

COLUMNS = 4
"""Neighbouring columns of a thread."""


def sharers(dim: int) -> int:
    """How many threads share four columns of a block: a power of two, about 256 threads in all."""
    return 1 << max(0, (256 * COLUMNS // dim).bit_length() - 1)


def keys_each(block_size: int, share: int) -> int:
    """How many keys of a block each thread holds; those beyond the block count as empty."""
    return max(1, (1 << (block_size - 1).bit_length()) // share)


@T.macro
def join(one: T.Ref, other: Any, pooling: str) -> None:
    """Adds `other` to `one`, or takes the larger."""
    if pooling == "mean":
        one += other
    else:
        one = T.max(one, other)


@T.macro
def add_in_registers(part: Any, size: int, pooling: str) -> None:
    """Pools `size` (a power of two) keys of a thread into the first."""
    if size > 1:
        for i in T.unroll(size // 2 * COLUMNS):
            join(part[i], part[size // 2 * COLUMNS + i], pooling)
        add_in_registers(part, size // 2, pooling)


@T.macro
def add_in_shared(part: Any, levels: Any, size: int, lane: Any, column: Any, pooling: str) -> None:
    """Pools what `size` (a power of two) threads hold, and left in shared memory, into the first thread's."""
    if size > 1:
        if lane < size // 2:
            for j in T.unroll(COLUMNS):
                join(part[j], levels[lane + size // 2, column + j], pooling)
            for j in T.vectorized(COLUMNS):
                levels[lane, column + j] = part[j]
        T.sync_threads()
        add_in_shared(part, levels, size // 2, lane, column, pooling)


@T.macro
def pool_one(
    k: Any,
    k_scale: Any,
    first: Any,
    count: Any,
    levels: Any,
    part: Any,
    lane: Any,
    column: Any,
    block_size: int,
    pooling: str,
    scaled: bool,
) -> None:
    """Pools `count` keys from `first` on; every thread of the block must come here.

    Args:
        k: Keys.
        k_scale: Their scales.
        first: First key.
        count: Keys to pool.
        levels: Shared `[sharers, D]`, free to use.
        part: Local `[four for each key of a thread]`; the first four become the sum (the largest) of the
            thread's columns, in the threads of lane 0.
        lane: Which of the threads that share columns this is.
        column: First column of the thread.
        block_size: B.
        pooling: `"mean"` or `"max"`.
        scaled: Whether keys have scales.
    """
    share = levels.shape[0]
    each = keys_each(block_size, share)
    raw = T.alloc_local((each * COLUMNS,), k.dtype)
    scale = T.alloc_var("float32")
    nothing = T.float32(0) if pooling == "mean" else -T.infinity("float32")
    for i in T.unroll(each):
        for j in T.unroll(COLUMNS):
            part[i * COLUMNS + j] = nothing
        if i * share + lane < count:
            for j in T.vectorized(COLUMNS):
                raw[i * COLUMNS + j] = k[first + i * share + lane, column + j]
            scale = T.float32(1)
            if scaled:
                scale = k_scale[first + i * share + lane]
            for j in T.unroll(COLUMNS):
                # The product is rounded before it is added, as the reference does.
                part[i * COLUMNS + j] = T.ieee_mul(T.cast(raw[i * COLUMNS + j], "float32"), scale)
    add_in_registers(part, each, pooling)
    for j in T.vectorized(COLUMNS):
        levels[lane, column + j] = part[j]
    T.sync_threads()
    add_in_shared(part, levels, share, lane, column, pooling)


@kernel(
    examples=[
        {"dim": 128, "dtype": FP8, "scaled": True, "block_size": 128, "pooling": "mean"},
        {"dim": 64, "dtype": "bfloat16", "scaled": False, "block_size": 24, "pooling": "max"},
    ],
    options=OPTIONS,
)
def pool_blocks(dim: int, dtype: str, scaled: bool, block_size: int, pooling: str) -> Any:
    """Pooled keys of one sequence.

    Args:
        dim: D, a multiple of 4.
        dtype: Of keys.
        scaled: Whether they have scales.
        block_size: B.
        pooling: `"mean"` or `"max"`.
    """
    n, n_blocks, n_scales = (T.dynamic(name) for name in ("n", "n_blocks", "n_scales"))
    share = sharers(dim)

    @T.prim_func
    def main(
        k: T.Tensor((n, dim), dtype),
        k_scale: T.Tensor((n_scales,), "float32"),
        out: T.Tensor((n_blocks, dim), "float32"),
    ):
        with T.Kernel(n_blocks, threads=share * dim // COLUMNS) as block:
            thread = T.get_thread_binding()
            levels = T.alloc_shared((share, dim), "float32")
            pooled = T.alloc_local((keys_each(block_size, share) * COLUMNS,), "float32")
            lane = thread // (dim // COLUMNS)
            column = thread % (dim // COLUMNS) * COLUMNS
            count = T.min(block_size, n - block * block_size)
            pool_one(
                k,
                k_scale,
                block * block_size,
                count,
                levels,
                pooled,
                lane,
                column,
                block_size,
                pooling,
                scaled,
            )
            if lane == 0:
                for j in T.vectorized(COLUMNS):
                    if pooling == "mean":
                        out[block, column + j] = pooled[j] / T.cast(count, "float32")
                    else:
                        out[block, column + j] = pooled[j] + T.float32(0)

    return main
