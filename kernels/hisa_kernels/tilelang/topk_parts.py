"""What the top-k kernels share: sortable keys, sums over a thread block, the search for a radix bucket.

Every kernel gives each score a key: an unsigned number that sorts as the scores do, in which both zeros are
one key, and what may not be chosen (−inf, NaN, columns outside the bounds) is `ABSENT_KEY`, below the rest.
"""

from typing import Any

import tilelang
import tilelang.language as T

BINS = 2048
"""Buckets of one radix round: 11 bits of the key."""

LOWEST = -3.4028234663852886e38
"""The smallest score that may be chosen; NaN and −inf do not compare as at least this."""

LOWEST_KEY = 0x00800000
"""Its key."""

HIGHEST_KEY = 0xFF800000
"""The key of +inf."""

ABSENT_KEY = LOWEST_KEY - 1
"""The key of −inf, which stands for all that may not be chosen."""

OPTIONS = {
    # Barriers are placed by hand: the automatic ones would land in branches that not every thread takes.
    tilelang.PassConfigKey.TL_DISABLE_THREAD_STORAGE_SYNC: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
    tilelang.PassConfigKey.TL_DISABLE_SHARED_MEMORY_REUSE: True,
}

NEED, ABOVE, HELD, TOTAL = range(4)
"""Places in the state of `find_bucket`."""


def u32(value: int) -> Any:
    """An unsigned constant."""
    return T.uint32(value)


def as_u32(value: Any) -> Any:
    """`value` as an unsigned number."""
    return T.cast(value, "uint32")


def as_i32(value: Any) -> Any:
    """`value` as a signed number."""
    return T.cast(value, "int32")


def key_of(score: Any) -> Any:
    """The key of an f32 `score`; −0.0 has that of 0.0, NaN that of −inf, which is `ABSENT_KEY`."""
    # fmaxf gives the other operand for NaN; adding 0.0 turns −0.0 into 0.0.
    zeroed = T.call_extern("float32", "__fadd_rn", score, T.float32(0))
    bits = T.reinterpret(T.call_extern("float32", "fmaxf", zeroed, -T.infinity("float32")), "uint32")
    return bits ^ (as_u32(as_i32(bits) >> 31) | u32(0x80000000))


def score_of(key: Any) -> Any:
    """The score whose `sortable` is `key`."""
    bits = T.if_then_else(key >= u32(0x80000000), key ^ u32(0x80000000), ~key)
    return T.reinterpret(bits, "float32")


def take_places(counter: Any, count: Any) -> Any:
    """Adds `count` to a shared counter; gives its value before."""
    return T.call_extern("int32", "atomicAdd", T.access_ptr(counter, "rw"), count)


def set_bit(word: Any, bit: Any) -> Any:
    """Sets a bit of a number in shared memory (`T.atomic_or` knows global memory alone)."""
    return T.call_extern("int32", "atomicOr", T.access_ptr(word, "rw"), 1 << bit)


@T.macro
def load_group(
    scores: Any, row: Any, at: Any, start: Any, end: Any, loaded: Any, first: int, vector: int
) -> None:
    """Loads four neighbouring scores of a row, −inf for those outside its bounds.

    Args:
        scores: The matrix in groups `[M, groups, vector]`.
        row: Which row.
        at: First of the four columns; a multiple of 4.
        start: First column of the row.
        end: One past its last column.
        loaded: Local memory that they go to.
        first: Where in it the first one goes.
        vector: 4 where rows start at 16-byte boundaries, else 1.
    """
    if at >= start and at + 4 <= end:
        if vector == 4:
            for j in T.vectorized(4):
                loaded[first + j] = scores[row, at // 4, j]
        else:
            for j in T.unroll(4):
                loaded[first + j] = scores[row, at + j, 0]
    else:
        for j in T.unroll(4):
            loaded[first + j] = -T.infinity("float32")
            if at + j >= start and at + j < end:
                if vector == 4:
                    loaded[first + j] = scores[row, at // 4, j]
                else:
                    loaded[first + j] = scores[row, at + j, 0]


@T.macro
def count_from(keys: Any, values: int, bound: Any, count: T.Ref) -> None:
    """`count` becomes how many of a warp's keys, `values` a lane, are at least `bound`."""
    count = 0
    for i in T.unroll(values):
        if keys[i] >= bound:
            count += 1
    count = T.call_extern("int32", "__reduce_add_sync", u32(0xFFFFFFFF), count)


@T.macro
def scan_warp(value: T.Ref, lane: Any) -> None:
    """Turns `value` of each lane into the sum over the lanes up to its own."""
    for step in T.unroll(5):
        other = T.shfl_up(value, 1 << step)
        if lane >= (1 << step):
            value += other


@T.macro
def scan_block(value: T.Ref, total: T.Ref, sums: Any, warps: int, thread: Any) -> None:
    """Turns `value` of each thread into the sum over the threads before it; `total` becomes the sum of all.

    Args:
        value: A number a thread.
        total: Where the sum goes.
        sums: Shared memory for one number a warp; free again after the next barrier.
        warps: Warps of the block.
        thread: This thread's number.
    """
    own = T.alloc_var("int32")
    warp_sum = T.alloc_var("int32")
    own = value
    scan_warp(value, thread % 32)
    if thread % 32 == 31:
        sums[thread // 32] = value
    T.sync_threads()
    value -= own
    warp_sum = sums[thread % warps]
    scan_warp(warp_sum, thread % 32)
    total = T.shfl_sync(warp_sum, warps - 1)  # noqa: F841 -- a reference
    warp_sum = T.shfl_sync(warp_sum, (thread // 32 + 31) % 32)
    if thread >= 32:
        value += warp_sum


@T.macro
def find_bucket(bins: Any, sums: Any, found: Any, need: Any, threads: int, thread: Any) -> None:
    """Finds the bucket that holds the `need`-th best key; clears the buckets for the next round.

    A barrier must lie between the counting and this, and every thread of the block must come here.

    Args:
        bins: Shared counts of keys `[BINS]`.
        sums: Shared memory for one number a warp.
        found: Shared memory for three numbers: the bucket (0 where there are fewer than `need` keys), how
            many keys lie above it, how many in it.
        need: Which key is looked for, from 1.
        threads: Threads of the block.
        thread: This thread's number.
    """
    own = BINS // threads
    count = T.alloc_local((own,), "int32")
    above = T.alloc_var("int32")
    sum_ = T.alloc_var("int32")
    total = T.alloc_var("int32")
    first = BINS - (thread + 1) * own
    for i in T.vectorized(own):
        count[i] = bins[first + i]
    for i in T.vectorized(own):
        bins[first + i] = 0
    sum_ = 0
    for i in T.unroll(own):
        sum_ += count[i]
    above = sum_
    scan_block(above, total, sums, threads // 32, thread)
    if (above < need and above + sum_ >= need) or (thread == threads - 1 and total < need):
        for i in T.unroll(own):
            if above < need:
                found[0] = first + own - 1 - i
                found[1] = above
                found[2] = count[own - 1 - i]
            above += count[own - 1 - i]
    T.sync_threads()
