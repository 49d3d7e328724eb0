"""Top-k of rows that fit a warp's registers (block scores, say): no shared memory, several rows a block."""

from typing import Any

import tilelang.language as T

from hisa_kernels.tilelang.build import kernel
from hisa_kernels.tilelang.topk_parts import (
    LOWEST_KEY,
    OPTIONS,
    as_i32,
    as_u32,
    count_from,
    key_of,
    load_group,
    scan_warp,
    u32,
)

ROWS = 4
"""Rows of a thread block, a warp each."""


@T.macro
def place_in_warp(flags: Any, base: Any, groups: int, lane: Any, total: T.Ref) -> None:
    """Where a warp's flagged columns go, in their order.

    Args:
        flags: Four bits for each of a lane's groups of four neighbouring columns.
        base: Local `[groups]`; becomes the place of the first flagged column of each group.
        groups: Groups a lane; group i of all lanes comes before group i + 1 of any.
        lane: This lane's number.
        total: Becomes the number of flagged columns.
    """
    packed = T.alloc_var("uint32")
    before = T.alloc_var("uint32")
    total = 0
    for half in T.unroll((groups + 3) // 4):
        # A group of all lanes holds at most 128 columns, so four counts fit the bytes of one number.
        packed = u32(0)
        for i in T.unroll(4):
            if half * 4 + i < groups:
                packed = packed | (
                    as_u32(T.popcount((flags >> u32(16 * half + 4 * i)) & u32(15))) << u32(8 * i)
                )
        before = packed
        scan_warp(packed, lane)
        before = packed - before
        packed = T.shfl_sync(packed, 31)
        for i in T.unroll(4):
            if half * 4 + i < groups:
                base[half * 4 + i] = total + as_i32((before >> u32(8 * i)) & u32(255))
                total += as_i32((packed >> u32(8 * i)) & u32(255))


@kernel(
    examples=[{"groups": 4, "vector": 4, "block_size": 0}, {"groups": 8, "vector": 1, "block_size": 16}],
    options=OPTIONS,
)
def topk_tiny(groups: int, vector: int, block_size: int) -> Any:
    """Rows of at most `128 · groups` columns, one warp a row.

    Args:
        groups: Four columns each that a lane holds, at most 8.
        vector: 4 where rows start at 16-byte boundaries, else 1.
        block_size: B where columns are the tokens of chosen blocks, 0 where they are what is wanted.
    """
    m, width, n_blocks = T.dynamic("m"), T.dynamic("width"), T.dynamic("n_blocks")
    m_bounds, m_wanted, m_blocks, topk = (T.dynamic(n) for n in ("m_bounds", "m_wanted", "m_blocks", "topk"))
    values = 4 * groups

    @T.prim_func
    def main(
        scores: T.Tensor((m, width, vector), "float32"),
        starts: T.Tensor((m_bounds,), "int32"),
        ends: T.Tensor((m_bounds,), "int32"),
        wanted: T.Tensor((m_wanted,), "int32"),
        blocks: T.Tensor((m_blocks, n_blocks), "int32"),
        out: T.Tensor((m, topk), "int32"),
        columns: T.int32,
        limited: T.int32,
        shift: T.int32,
    ):
        with T.Kernel(T.ceildiv(m, ROWS), threads=32 * ROWS) as group:
            thread = T.get_thread_binding()
            lane = thread % 32
            row = group * ROWS + thread // 32
            key = T.alloc_local((values,), "uint32")
            loaded = T.alloc_local((values,), "float32")
            base = T.alloc_local((groups,), "int32")
            start = T.alloc_var("int32")
            end = T.alloc_var("int32")
            origin = T.alloc_var("int32")
            need = T.alloc_var("int32")
            count = T.alloc_var("int32")
            at = T.alloc_var("int32")
            place = T.alloc_var("int32")
            bit = T.alloc_var("uint32")
            lowest = T.alloc_var("uint32")
            flags = T.alloc_var("uint32")
            ties = T.alloc_var("uint32")

            if row < m:
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
                at = (start // 4) * 4 + lane * 4
                for i in T.unroll(groups):
                    load_group(scores, row, at + i * 128, start, end, loaded, 4 * i, vector)
                for i in T.unroll(values):
                    key[i] = key_of(loaded[i])

                # The chosen keys are those from `lowest` on, but for ties; found bit by bit from the top.
                lowest = u32(0)
                count_from(key, values, u32(LOWEST_KEY), count)
                if count <= need:
                    lowest = u32(LOWEST_KEY)
                    need = count
                else:
                    bit = u32(0x80000000)
                    while bit != u32(0):
                        count_from(key, values, lowest | bit, count)
                        if count >= need:
                            lowest = lowest | bit
                        bit = T.if_then_else(count == need, u32(0), bit >> u32(1))
                flags = u32(0)
                ties = u32(0)
                for i in T.unroll(values):
                    if key[i] >= lowest:
                        flags = flags | u32(1 << i)
                    if key[i] == lowest:
                        ties = ties | u32(1 << i)
                count_from(key, values, lowest, count)
                if count > need:
                    # More keys equal the lowest one than there is room for: the first columns get it.
                    need -= count
                    place_in_warp(ties, base, groups, lane, count)
                    need += count
                    for i in T.unroll(values):
                        if (ties >> u32(i)) & u32(1) == u32(1):
                            if base[i // 4] >= need:
                                flags = flags ^ u32(1 << i)
                            base[i // 4] += 1
                place_in_warp(flags, base, groups, lane, count)
                for i in T.unroll(values):
                    if (flags >> u32(i)) & u32(1) == u32(1):
                        place = at + (i // 4) * 128 + i % 4
                        if block_size > 0:
                            place = blocks[row, place // block_size] * block_size + place % block_size
                        place += origin
                        out[row, base[i // 4]] = place
                        base[i // 4] += 1
                at = count + lane
                while at < topk:
                    out[row, at] = -1
                    at += 32

    return main
