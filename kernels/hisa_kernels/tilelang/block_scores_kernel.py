"""The TileLang programs of block scores: pooled keys cut into 16-bit summands, then scored like keys.

A thread block takes one tile of queries after another. FP8 queries become 16-bit numbers on their way into
the tensor cores' operand (exactly), since their products with pooled keys shall be as good as in f32.
"""

from typing import Any

import tilelang.language as T

from hisa_kernels.tilelang.build import kernel
from hisa_kernels.tilelang.score_parts import (
    COLUMNS,
    FP8,
    GROUP,
    GROUPS,
    HALF,
    KEYS,
    OPTIONS,
    OTHERS,
    TILE,
    WORKERS,
    Operand,
    Shape,
    head_sum,
    load_queries,
    multiply,
    point_at,
)

STAGES = 2
"""Tiles of pooled keys in flight."""


@kernel(
    examples=[{"dim": 128, "dtype": "float16", "parts": 2}, {"dim": 32, "dtype": "bfloat16", "parts": 2}],
    options=OPTIONS,
)
def split_pooled(dim: int, dtype: str, parts: int) -> Any:
    """Pooled keys as sums of 16-bit numbers, times a power of two for each block.

    Args:
        dim: D.
        dtype: Of the summands.
        parts: How many.
    """
    n = T.dynamic("n")

    @T.prim_func
    def main(
        pooled: T.Tensor((n, dim), "float32"),
        summands: T.Tensor((parts, n, dim), dtype),
        scale: T.Tensor((n,), "float32"),
    ):
        with T.Kernel(n, threads=dim) as block:
            thread = T.get_thread_binding()
            warps = T.alloc_shared((dim // 32,), "float32")
            largest = T.alloc_var("float32")
            value = T.alloc_var("float32")
            power = T.alloc_var("float32")
            value = pooled[block, thread]
            largest = T.abs(value)
            for i in T.unroll(5):
                largest = T.max(largest, T.shfl_xor(largest, 1 << i))
            if thread % 32 == 0:
                warps[thread // 32] = largest
            T.sync_threads()
            for i in T.unroll(dim // 32):
                largest = T.max(largest, warps[i])
            # The largest element is brought to 2^14 .. 2^15, where f16 has its full precision.
            power = T.reinterpret(T.reinterpret(largest, "uint32") & T.uint32(0x7F800000), "float32")
            power = T.min(T.max(power, T.float32(2.0**-100)), T.float32(2.0**100)) * T.float32(2.0**-14)
            if thread == 0:
                scale[block] = power
            value = value / power
            for i in T.unroll(parts):
                summands[i, block, thread] = T.cast(value, dtype)
                value -= T.cast(T.cast(value, dtype), "float32")

    return main


@T.macro
def store_blocks(
    acc: Any,
    gates: Any,
    scale: Any,
    out: Any,
    seen: Any,
    first: Any,
    query: int,
    block: Any,
    forced: Any,
    shape: Any,
    lane: Any,
) -> None:
    """Writes the block scores of an accumulator: +inf for forced blocks, −inf for what a query does not see.

    Args:
        acc: Accumulator.
        gates: Weights of the thread's columns.
        scale: The scale of the lane's block.
        out: Block scores.
        seen: Shared; how many blocks each query of the tile sees.
        first: First query of the tile.
        query: First query of the accumulator, within the tile.
        block: The lane's block.
        forced: How many kinds of blocks are forced: the first, the last, the second last.
        shape: See `Shape`.
        lane: The thread's place in its warp.
    """
    own = T.alloc_var("int32")
    count = T.alloc_var("int32")
    value = T.alloc_var("float32")
    for i in T.unroll(shape.held):
        head_sum(acc, gates, i, value, shape, lane)
        own = query + shape.query(i, lane)
        count = seen[own]
        value *= scale
        if (block == 0 and forced > 0) or block >= count - T.max(forced - 1, 0):
            value = T.infinity("float32")
        if block >= count:
            value = -T.infinity("float32")
        if first + own < out.shape[0] and block < out.shape[1]:
            out[first + own, block] = value


@kernel(
    examples=[
        {"heads": 64, "dim": 128, "dtype": FP8, "parts": 2},
        {"heads": 16, "dim": 64, "dtype": "bfloat16", "parts": 2},
    ],
    options=OPTIONS,
)
def block_scores_tiles(heads: int, dim: int, dtype: str, parts: int) -> Any:
    """Block scores of one sequence.

    Args:
        heads: H.
        dim: D.
        dtype: Of queries.
        parts: Summands of a pooled key, 1 or 2.
    """
    m, n, rows, stride = (T.dynamic(name) for name in ("m", "n", "rows", "stride"))
    converts = dtype == FP8
    wide = "float16" if converts else dtype
    operand = Operand(dim, wide)
    shape = Shape(heads, operand, parts)
    queries = shape.queries
    panels, width = operand.panels, operand.width
    pieces = dim // 16

    @T.prim_func
    def main(
        q: T.Tensor((rows, dim), dtype),
        summands: T.Tensor((parts, n, dim), wide),
        scales: T.Tensor((n,), "float32"),
        weights: T.Tensor((rows,), "float32"),
        starts: T.Tensor((m,), "int32"),
        ends: T.Tensor((m,), "int32"),
        out: T.StridedTensor((m, n), (stride, 1), "float32"),
        block_size: T.int32,
        forced: T.int32,
        grid: T.int32,
    ):
        with T.Kernel(grid, threads=WORKERS + GROUP) as worker:
            thread = T.get_thread_binding()
            q_raw = T.alloc_shared((COLUMNS, dim), dtype)
            q_tile = T.alloc_shared((panels, COLUMNS, width), wide)
            k_tile = T.alloc_shared((STAGES * parts * panels, TILE, width), wide)
            seen = T.alloc_shared((queries,), "int32")
            T.annotate_layout({q_tile: operand.layout(q_tile), k_tile: operand.layout(k_tile)})
            q_full = T.alloc_barrier(32)
            q_empty = T.alloc_barrier(4 * GROUPS)
            full = T.alloc_barrier([32] * STAGES)
            empty = T.alloc_barrier([4 * GROUPS] * STAGES)
            first = T.alloc_var("int32")
            most = T.alloc_var("int32")
            step = T.alloc_var("int32")
            turn = T.alloc_var("int32")
            step = 0
            turn = 0
            first = worker * queries

            if thread >= WORKERS:
                T.set_max_nreg(24, 0)
                while first < m:
                    most = 0
                    for i in T.serial(queries):
                        if first + i < m:
                            most = T.max(most, ends[first + i] - starts[first + i])
                    most = (most + block_size * TILE - 1) // (block_size * TILE)
                    if thread < WORKERS + 32:
                        T.mbarrier_wait_parity(q_empty, turn % 2 ^ 1)
                        if converts:
                            T.tma_copy(
                                q[first * heads : first * heads + COLUMNS, 0:dim],
                                q_raw,
                                barrier=q_full,
                            )
                        else:
                            for p in T.unroll(panels):
                                T.tma_copy(
                                    q[
                                        first * heads : first * heads + COLUMNS,
                                        p * width : (p + 1) * width,
                                    ],
                                    q_tile[p, :, :],
                                    barrier=q_full,
                                )
                        T.mbarrier_arrive(q_full)
                        for i in T.serial(most):
                            T.mbarrier_wait_parity(empty[step % STAGES], (step // STAGES) % 2 ^ 1)
                            for p in T.unroll(parts * panels):
                                T.tma_copy(
                                    summands[
                                        p // panels,
                                        i * TILE : (i + 1) * TILE,
                                        p % panels * width : (p % panels + 1) * width,
                                    ],
                                    k_tile[step % STAGES * (parts * panels) + p, :, :],
                                    barrier=full[step % STAGES],
                                )
                            T.mbarrier_arrive(full[step % STAGES])
                            step += 1
                    else:
                        # The other warps of this warpgroup write what no query of the tile sees.
                        for i in T.serial(queries):
                            if first + i < m:
                                for j in T.serial((n - most * TILE + OTHERS - 1) // OTHERS):
                                    step = most * TILE + j * OTHERS + thread - (WORKERS + 32)
                                    if step < n:
                                        out[first + i, step] = -T.infinity("float32")
                    first += grid * queries
                    turn += 1
            else:
                T.set_max_nreg(240, 1)
                lane = thread % 32
                group = T.shfl_sync(thread // GROUP, 0)
                acc_0 = T.alloc_local((HALF // 2,), "float32")
                acc_1 = T.alloc_local((HALF // 2,), "float32")
                gates_0 = T.alloc_local((HALF // 4,), "float32")
                gates_1 = T.alloc_local((HALF // 4,), "float32")
                keys = T.alloc_wgmma_desc()
                cols_0 = T.alloc_wgmma_desc()
                cols_1 = T.alloc_wgmma_desc()
                block = T.alloc_var("int32")
                scale = T.alloc_var("float32")
                point_at(keys, k_tile, operand)
                T.increase_descriptor_offset(keys, group * (KEYS * operand.row))
                while first < m:
                    load_queries(cols_0, gates_0, q_tile, weights, first * heads, 0, shape, lane)
                    load_queries(cols_1, gates_1, q_tile, weights, first * heads, HALF, shape, lane)
                    most = 0
                    for i in T.serial(queries):
                        if first + i < m:
                            most = T.max(most, ends[first + i] - starts[first + i])
                    most = (most + block_size * TILE - 1) // (block_size * TILE)
                    T.mbarrier_wait_parity(q_full, turn % 2)
                    # No warpgroup may still multiply with the queries before.
                    T.sync_threads(1, WORKERS)
                    if thread < queries:
                        seen[thread] = 0
                        if first + thread < m:
                            count = ends[first + thread] - starts[first + thread]
                            seen[thread] = (count + block_size - 1) // block_size
                    if converts:
                        for i in T.unroll(COLUMNS * pieces // WORKERS):
                            at = i * WORKERS + thread
                            for j in T.vectorized(16):
                                q_tile[
                                    at % pieces * 16 // width, at // pieces, at % pieces * 16 % width + j
                                ] = T.cast(q_raw[at // pieces, at % pieces * 16 + j], wide)
                        T.fence_proxy_async()
                    T.sync_threads(1, WORKERS)
                    if converts and lane == 0:
                        T.mbarrier_arrive(q_empty)
                    for i in T.serial(most):
                        block = i * TILE + shape.key(thread, lane)
                        scale = scales[T.min(block, n - 1)]
                        T.mbarrier_wait_parity(full[step % STAGES], (step // STAGES) % 2)
                        multiply(acc_0, keys, step % STAGES, cols_0, shape)
                        multiply(acc_1, keys, step % STAGES, cols_1, shape)
                        T.wait_wgmma(1)
                        T.warpgroup_fence_operand(acc_0, num_regs=HALF // 2)
                        store_blocks(acc_0, gates_0, scale, out, seen, first, 0, block, forced, shape, lane)
                        T.wait_wgmma(0)
                        T.warpgroup_fence_operand(acc_1, num_regs=HALF // 2)
                        if lane == 0:
                            T.mbarrier_arrive(empty[step % STAGES])
                        store_blocks(
                            acc_1, gates_1, scale, out, seen, first, queries // 2, block, forced, shape, lane
                        )
                        step += 1
                    if not converts and lane == 0:
                        T.mbarrier_arrive(q_empty)
                    first += grid * queries
                    turn += 1

    return main
