"""Top-k of rows that fit a thread block's registers: read once, radix select, emit in order."""

from typing import Any

import tilelang.language as T

from hisa_kernels.tilelang.build import kernel
from hisa_kernels.tilelang.chain import follow
from hisa_kernels.tilelang.topk_parts import (
    BINS,
    LOWEST_KEY,
    OPTIONS,
    as_i32,
    as_u32,
    find_bucket,
    key_of,
    load_group,
    scan_warp,
    u32,
)

VALUES = 16
"""Scores that a thread holds where there are many rows: four groups of four neighbouring columns."""

SHAPES = ((128, VALUES), (256, VALUES), (512, VALUES))
"""Threads a row and scores a thread, by the columns they hold together."""

SPREAD = ((128, 4), (256, 4), (512, 4), (1024, 4), (1024, 8), (1024, VALUES))
"""The same where rows are so few that each has a multiprocessor of its own: more threads share one."""

RESIDENT = {128: 8, 256: 6, 512: 3, 1024: 1}
"""Thread blocks of one multiprocessor by their threads: as many as leave each the registers it needs."""


@T.macro
def place_flags(
    flags: Any, base: Any, groups: int, tiles: Any, sums: Any, warps: int, thread: Any, total: T.Ref
) -> None:
    """Where the flagged columns of each thread go, in the order of the columns of the row.

    Args:
        flags: One bit for each of the thread's values.
        base: Local `[groups]`; becomes the place of the first flagged column of each group.
        groups: Groups of four columns a thread, at most four.
        tiles: Shared `[groups · warps]`.
        sums: Unused shared memory of at least one number.
        warps: Warps of the block.
        thread: This thread's number.
        total: Becomes the number of flagged columns of the row.
    """
    lane = thread % 32
    packed = T.alloc_var("uint32")
    before = T.alloc_var("uint32")
    # A warp's share of one group is at most 128, so the four counts fit the four bytes of one number.
    packed = u32(0)
    for i in T.unroll(groups):
        packed = packed | (as_u32(T.popcount((flags >> u32(4 * i)) & u32(15))) << u32(8 * i))
    before = packed
    scan_warp(packed, lane)
    before = packed - before
    if lane == 31:
        for i in T.unroll(groups):
            tiles[i * warps + thread // 32] = as_i32((packed >> u32(8 * i)) & u32(255))
    T.sync_threads()
    n_tiles = groups * warps
    each = (n_tiles + 31) // 32
    if thread < 32:
        count = T.alloc_local((each,), "int32")
        run = T.alloc_var("int32")
        own = T.alloc_var("int32")
        own = 0
        for i in T.unroll(each):
            count[i] = 0
            if lane * each + i < n_tiles:
                count[i] = tiles[lane * each + i]
            own += count[i]
        run = own
        scan_warp(run, lane)
        if lane == 31:
            sums[0] = run
        run -= own
        for i in T.unroll(each):
            if lane * each + i < n_tiles:
                tiles[lane * each + i] = run
            run += count[i]
    T.sync_threads()
    for i in T.unroll(groups):
        base[i] = tiles[i * warps + thread // 32] + as_i32((before >> u32(8 * i)) & u32(255))
    total = sums[0]  # noqa: F841 -- a reference


@kernel(
    examples=[
        {"threads": 512, "values": VALUES, "vector": 4, "most": 2048, "block_size": 128},
        {"threads": 128, "values": VALUES, "vector": 1, "most": 2048, "block_size": 0},
        {"threads": 256, "values": 4, "vector": 4, "most": 1024, "block_size": 0, "chained": True},
        {"threads": 1024, "values": 8, "vector": 4, "most": 2048, "block_size": 128, "chained": True},
    ],
    options=OPTIONS,
)
def topk_short(
    threads: int, values: int, vector: int, most: int, block_size: int, chained: bool = False
) -> Any:
    """Rows of at most `threads · values` columns, one thread block a row.

    Args:
        threads: Threads a row, a key of `RESIDENT`.
        values: Scores a thread: 4, 8 or 16.
        vector: 4 where rows start at 16-byte boundaries, else 1.
        most: Largest k.
        block_size: B where columns are the tokens of chosen blocks, 0 where they are what is wanted.
        chained: See `hisa_kernels.tilelang.chain`.
    """
    m, groups, n_blocks = T.dynamic("m"), T.dynamic("groups"), T.dynamic("n_blocks")
    m_bounds, m_wanted, m_blocks, topk = (T.dynamic(n) for n in ("m_bounds", "m_wanted", "m_blocks", "topk"))
    warps = threads // 32
    n_groups = values // 4
    # Scores are loaded before it is known which of them count: one wait instead of two.
    whole = chained and block_size == 0
    # Tokens are looked up while the scores are on their way, where registers allow.
    early = chained and block_size > 0 and block_size % 4 == 0

    @T.prim_func
    def main(
        scores: T.Tensor((m, groups, vector), "float32"),
        starts: T.Tensor((m_bounds,), "int32"),
        ends: T.Tensor((m_bounds,), "int32"),
        wanted: T.Tensor((m_wanted,), "int32"),
        blocks: T.Tensor((m_blocks, n_blocks), "int32"),
        out: T.Tensor((m, topk), "int32"),
        columns: T.int32,
        limited: T.int32,
        shift: T.int32,
    ):
        with T.Kernel(m, threads=threads) as row:
            T.annotate_min_blocks_per_sm(RESIDENT[threads])
            thread = T.get_thread_binding()
            bins = T.alloc_shared((BINS,), "int32")
            stage = T.alloc_shared((most,), "int32")
            tiles = T.alloc_shared((n_groups * warps,), "int32")
            sums = T.alloc_shared((warps,), "int32")
            found = T.alloc_shared((4,), "int32")
            key = T.alloc_local((values,), "uint32")
            loaded = T.alloc_local((values,), "float32")
            base = T.alloc_local((n_groups,), "int32")
            offset = T.alloc_local((n_groups,), "int32")
            start = T.alloc_var("int32")
            end = T.alloc_var("int32")
            origin = T.alloc_var("int32")
            need = T.alloc_var("int32")
            total = T.alloc_var("int32")
            at = T.alloc_var("int32")
            place = T.alloc_var("int32")
            digit = T.alloc_var("uint32")
            span = T.alloc_var("uint32")
            lowest = T.alloc_var("uint32")
            flags = T.alloc_var("uint32")
            ties = T.alloc_var("uint32")

            for i in T.serial(BINS // threads):
                bins[i * threads + thread] = 0
            follow(chained)
            origin = shift
            if block_size > 0:
                start = 0
                end = columns
                origin = starts[row]
            else:
                start = starts[row]
                end = ends[row]
            need = topk
            if limited == 1:
                need = T.max(0, T.min(topk, wanted[row]))
            if need == 0 or end <= start:
                start = 0
                end = 0
            at = thread * 4 if whole else (start // 4) * 4 + thread * 4
            if whole:
                for i in T.unroll(n_groups):
                    load_group(scores, row, at + i * threads * 4, 0, columns, loaded, 4 * i, vector)
                for i in T.unroll(values):
                    place = at + i // 4 * threads * 4 + i % 4
                    if place < start or place >= end:
                        loaded[i] = -T.infinity("float32")
            elif at >= start and at + (n_groups - 1) * threads * 4 + 4 <= end and vector == 4:
                for i in T.unroll(n_groups):
                    for j in T.vectorized(4):
                        loaded[4 * i + j] = scores[row, at // 4 + i * threads, j % vector]
            else:
                for i in T.unroll(n_groups):
                    load_group(scores, row, at + i * threads * 4, start, end, loaded, 4 * i, vector)
            for i in T.unroll(n_groups):
                # From a column to its token: the four columns of a group lie in one block.
                offset[i] = 0
                if early and at + i * threads * 4 < end:
                    place = at + i * threads * 4
                    offset[i] = (blocks[row, place // block_size] - place // block_size) * block_size
            T.sync_threads()

            for i in T.unroll(values):
                key[i] = key_of(loaded[i])
                T.atomic_add(bins[as_i32(key[i] >> u32(21))], 1)
            T.sync_threads()
            find_bucket(bins, sums, found, need, threads, thread)
            # The chosen keys are those from `lowest` on, but for ties with it; each round settles more of its
            # bits. What is still in question is less than `span` above it.
            lowest = as_u32(found[0]) << u32(21)
            need -= found[1]
            span = u32(1 << 21)
            digit = u32(10)
            if lowest < u32(LOWEST_KEY):
                lowest = u32(LOWEST_KEY)
                need = 0
            elif found[2] == need:
                need = 0
            while need > 0 and span > u32(1):
                for i in T.unroll(values):
                    if key[i] - lowest < span:
                        T.atomic_add(bins[as_i32((key[i] - lowest) >> digit)], 1)
                T.sync_threads()
                find_bucket(bins, sums, found, need, threads, thread)
                lowest += as_u32(found[0]) << digit
                need -= found[1]
                span = u32(1) << digit
                digit = u32(0)
                if found[2] == need:
                    need = 0
            flags = u32(0)
            for i in T.unroll(values):
                if key[i] >= lowest:
                    flags = flags | u32(1 << i)
            if need > 0:
                # More keys equal the lowest one than there is room for: the first columns get it.
                ties = u32(0)
                for i in T.unroll(values):
                    if key[i] == lowest:
                        ties = ties | u32(1 << i)
                place_flags(ties, base, n_groups, tiles, sums, warps, thread, total)
                for i in T.unroll(values):
                    if (ties >> u32(i)) & u32(1) == u32(1):
                        if base[i // 4] >= need:
                            flags = flags ^ u32(1 << i)
                        base[i // 4] += 1
                T.sync_threads()
            place_flags(flags, base, n_groups, tiles, sums, warps, thread, total)
            for i in T.unroll(values):
                if (flags >> u32(i)) & u32(1) == u32(1):
                    stage[base[i // 4]] = at + (i // 4) * threads * 4 + i % 4 + offset[i // 4]
                    base[i // 4] += 1
            T.sync_threads()
            at = thread
            while at < topk:
                start = -1
                if at < total:
                    start = stage[at]
                    if block_size > 0 and not early:
                        start = blocks[row, start // block_size] * block_size + start % block_size
                    start += origin
                out[row, at] = start
                at += threads

    return main
