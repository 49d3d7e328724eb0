"""The TileLang program of flat scores.

A thread block keeps the queries of one tile in shared memory and runs over their keys, then over those of
its next tile, whose queries are on their way by then. One warpgroup brings queries and keys (TMA); the others
multiply. Each of those holds two accumulators, so that the tensor cores work on one while its threads
rectify, weigh and sum the other.
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
    multiply,
    point_at,
)

STAGES = 4
"""Tiles of keys in flight."""

SHARED_BYTES = 200 << 10
"""Shared memory for queries and keys."""

FIRST, LOW, COUNT, INNER_LOW, INNER_HIGH = range(5)
"""What the loading warp notes of a tile of queries: its first query, its first tile of keys, how many (whole
runs), and the range of keys that all of its queries see."""


def query_buffers(operand: Operand) -> int:
    """Tiles of queries in shared memory: the next one comes while the last is used, where there is room."""
    row = operand.dim * operand.size
    return 2 if (2 * COLUMNS + STAGES * TILE) * row <= SHARED_BYTES else 1


@T.macro
def take_queries(
    cols: Any, gates: Any, q_tile: Any, w_tile: Any, buffer: Any, column: Any, shape: Any, lane: Any
) -> None:
    """Points at an accumulator's queries and reads the weights of the thread's columns of it.

    Args:
        cols: Becomes the descriptor of the queries.
        gates: Becomes the weights, two for each 8 columns.
        q_tile: Tiles of queries in shared memory.
        w_tile: Their weights in shared memory.
        buffer: Which tile.
        column: First column of the accumulator.
        shape: See `Shape`.
        lane: The thread's place in its warp.
    """
    operand = shape.operand
    point_at(cols, q_tile, operand)
    T.increase_descriptor_offset(cols, (buffer * operand.panels * COLUMNS + column) * operand.row)
    for i in T.unroll(HALF // 4):
        gates[i] = w_tile[buffer, column + i // 2 * 8 + lane % 4 * 2 + i % 2]


@T.macro
def store(
    acc: Any,
    gates: Any,
    scale: Any,
    out: Any,
    starts: Any,
    ends: Any,
    first: Any,
    key: Any,
    inside: Any,
    shape: Any,
    lane: Any,
) -> None:
    """Writes the scores of an accumulator, −inf where a query does not see the key.

    Args:
        acc: Accumulator.
        gates: Weights of the thread's columns.
        scale: The scale of the lane's key.
        out: Scores.
        starts: First visible keys.
        ends: One past the last visible keys.
        first: First query of the accumulator.
        key: The lane's key.
        inside: Whether all queries of the block see all keys of the tile.
        shape: See `Shape`.
        lane: The thread's place in its warp.
    """
    row = T.alloc_var("int32")
    value = T.alloc_var("float32")
    for i in T.unroll(shape.held):
        head_sum(acc, gates, i, value, shape, lane)
        row = first + shape.query(i, lane)
        if inside:
            out[row, key] = value * scale
        else:
            if row < starts.shape[0] and key < out.shape[1]:
                if key >= starts[row] and key < ends[row]:
                    out[row, key] = value * scale
                else:
                    out[row, key] = -T.infinity("float32")


@kernel(
    examples=[
        {"heads": 64, "dim": 128, "dtype": FP8, "scaled": True, "run": 4},
        {"heads": 16, "dim": 64, "dtype": "bfloat16", "scaled": False},
    ],
    options=OPTIONS,
)
def flat_scores_tiles(
    heads: int,
    dim: int,
    dtype: str,
    scaled: bool,
    run: int = 1,
) -> Any:
    """Scores of visible keys, one thread block for some queries and a run of keys.

    Args:
        heads: H.
        dim: D.
        dtype: Of queries and keys.
        scaled: Whether keys have scales.
        run: Tiles that two accumulators take without a pause.
    """
    m, n, rows = (T.dynamic(name) for name in ("m", "n", "rows"))
    n_scales, stride = (T.dynamic(name) for name in ("n_scales", "stride"))
    operand = Operand(dim, dtype)
    shape = Shape(heads, operand)
    queries = shape.queries
    panels, width = operand.panels, operand.width

    buffers = query_buffers(operand)

    @T.prim_func
    def main(
        q: T.Tensor((rows, dim), dtype),
        k: T.Tensor((n, dim), dtype),
        k_scale: T.Tensor((n_scales,), "float32"),
        weights: T.Tensor((rows,), "float32"),
        starts: T.Tensor((m,), "int32"),
        ends: T.Tensor((m,), "int32"),
        out: T.StridedTensor((m, n), (stride, 1), "float32"),
        splits: T.int32,
        fill: T.int32,
        workers: T.int32,
    ):
        with T.Kernel(workers, threads=WORKERS + GROUP) as worker:
            thread = T.get_thread_binding()
            q_tile = T.alloc_shared((buffers * panels, COLUMNS, width), dtype)
            k_tile = T.alloc_shared((STAGES * panels, TILE, width), dtype)
            w_tile = T.alloc_shared((buffers, COLUMNS), "float32")
            note = T.alloc_shared((buffers, 8), "int32")
            T.annotate_layout({q_tile: operand.layout(q_tile), k_tile: operand.layout(k_tile)})
            q_full = T.alloc_barrier([32] * buffers)
            q_empty = T.alloc_barrier([4 * GROUPS] * buffers)
            full = T.alloc_barrier([32] * STAGES)
            empty = T.alloc_barrier([4 * GROUPS] * STAGES)
            first = T.alloc_var("int32")
            key = T.alloc_var("int32")
            item = T.alloc_var("int32")
            lo = T.alloc_var("int32")
            hi = T.alloc_var("int32")
            inner_lo = T.alloc_var("int32")
            inner_hi = T.alloc_var("int32")
            left = T.alloc_var("int32")
            right = T.alloc_var("int32")
            count = T.alloc_var("int32")
            blocks = T.alloc_var("int32")
            items = T.alloc_var("int32")
            blocks = (m + queries - 1) // queries
            items = blocks * splits
            # Every second round runs backwards, so that all thread blocks get equal shares.
            if thread >= WORKERS:
                T.set_max_nreg(40, 0)
                if thread < WORKERS + 32 or fill != 0:
                    count = 0
                    for turn in T.serial((items + workers - 1) // workers):
                        item = turn * workers + T.if_then_else(turn % 2 == 1, workers - 1 - worker, worker)
                        if item < items:
                            # Later queries mostly see more keys: they come first.
                            first = (blocks - 1 - item % blocks) * queries
                            lo = n
                            hi = 0
                            inner_lo = 0
                            inner_hi = n
                            for i in T.serial(queries):
                                if first + i < m:
                                    left = starts[first + i]
                                    right = ends[first + i]
                                    if left < right:
                                        lo = T.min(lo, left)
                                        hi = T.max(hi, right)
                                    inner_lo = T.max(inner_lo, left)
                                    inner_hi = T.min(inner_hi, right)
                                else:
                                    inner_hi = 0
                            left = T.truncdiv((n + TILE - 1) // TILE + splits - 1, splits)
                            right = T.min((item // blocks + 1) * left * TILE, n)
                            left = item // blocks * left * TILE
                            # Tiles of keys: those that any query sees, in this item's share of the keys.
                            lo = T.max(lo // TILE, left // TILE)
                            hi = T.min((hi + TILE - 1) // TILE, (right + TILE - 1) // TILE)
                            if thread < WORKERS + 32:
                                lane = thread - WORKERS
                                buffer = turn % buffers
                                T.mbarrier_wait_parity(q_empty[buffer], (turn // buffers) % 2 ^ 1)
                                for p in T.unroll(panels):
                                    T.tma_copy(
                                        q[
                                            first * heads : first * heads + COLUMNS,
                                            p * width : (p + 1) * width,
                                        ],
                                        q_tile[buffer * panels + p, :, :],
                                        barrier=q_full[buffer],
                                    )
                                # Runs are whole; tiles behind the last are real keys or none, and harmless.
                                hi = T.max(hi - lo + run - 1, 0) // run * run
                                for i in T.unroll(COLUMNS // 32):
                                    key = first * heads + i * 32 + lane
                                    w_tile[buffer, i * 32 + lane] = T.if_then_else(
                                        key < rows, weights[T.min(key, rows - 1)], T.float32(0)
                                    )
                                if lane == 0:
                                    note[buffer, FIRST] = first
                                    note[buffer, LOW] = lo
                                    note[buffer, COUNT] = hi
                                    note[buffer, INNER_LOW] = inner_lo
                                    note[buffer, INNER_HIGH] = inner_hi
                                T.mbarrier_arrive(q_full[buffer])
                                for i in T.serial(hi):
                                    stage = (count + i) % STAGES
                                    T.mbarrier_wait_parity(empty[stage], ((count + i) // STAGES) % 2 ^ 1)
                                    for p in T.unroll(panels):
                                        T.tma_copy(
                                            k[
                                                (lo + i) * TILE : (lo + i + 1) * TILE,
                                                p * width : (p + 1) * width,
                                            ],
                                            k_tile[stage * panels + p, :, :],
                                            barrier=full[stage],
                                        )
                                    T.mbarrier_arrive(full[stage])
                                count += hi
                            else:
                                # The other warps of this warpgroup write what no query sees.
                                lo = T.min(T.max(lo * TILE, left), right)
                                hi = T.min(T.max(hi * TILE, lo), right)
                                for i in T.serial(queries):
                                    if first + i < m:
                                        for j in T.serial((lo - left + OTHERS - 1) // OTHERS):
                                            key = left + j * OTHERS + thread - (WORKERS + 32)
                                            if key < lo:
                                                out[first + i, key] = -T.infinity("float32")
                                        for j in T.serial((right - hi + OTHERS - 1) // OTHERS):
                                            key = hi + j * OTHERS + thread - (WORKERS + 32)
                                            if key < right:
                                                out[first + i, key] = -T.infinity("float32")
            else:
                T.set_max_nreg(232, 1)
                lane = thread % 32
                group = T.shfl_sync(thread // GROUP, 0)
                acc_0 = T.alloc_local((HALF // 2,), "float32")
                acc_1 = T.alloc_local((HALF // 2,), "float32")
                gates_0 = T.alloc_local((HALF // 4,), "float32")
                gates_1 = T.alloc_local((HALF // 4,), "float32")
                keys = T.alloc_wgmma_desc()
                cols_0 = T.alloc_wgmma_desc()
                cols_1 = T.alloc_wgmma_desc()
                inside = T.alloc_var("bool")
                scale = T.alloc_var("float32")
                point_at(keys, k_tile, operand)
                T.increase_descriptor_offset(keys, group * (KEYS * operand.row))
                scale = T.float32(1)
                count = 0
                for lap in T.serial((items + workers - 1) // workers):
                    item = lap * workers + T.if_then_else(lap % 2 == 1, workers - 1 - worker, worker)
                    if item < items:
                        buffer = lap % buffers
                        T.mbarrier_wait_parity(q_full[buffer], (lap // buffers) % 2)
                        first = note[buffer, FIRST]
                        lo = note[buffer, LOW]
                        hi = note[buffer, COUNT]
                        inner_lo = note[buffer, INNER_LOW]
                        inner_hi = note[buffer, INNER_HIGH]
                        take_queries(cols_0, gates_0, q_tile, w_tile, buffer, 0, shape, lane)
                        take_queries(cols_1, gates_1, q_tile, w_tile, buffer, HALF, shape, lane)
                        for turn in T.serial(hi // run):
                            if run > 1:
                                stage = (count + turn * run) % STAGES
                                T.mbarrier_wait_parity(full[stage], ((count + turn * run) // STAGES) % 2)
                                multiply(acc_0, keys, stage, cols_0, shape)
                            for u in T.unroll(run):
                                i = turn * run + u
                                at = count + i
                                key = (lo + i) * TILE + shape.key(thread, lane)
                                inside = (lo + i) * TILE >= inner_lo and (lo + i + 1) * TILE <= inner_hi
                                if scaled:
                                    scale = k_scale[T.min(key, n - 1)]
                                if run == 1:
                                    T.mbarrier_wait_parity(full[at % STAGES], (at // STAGES) % 2)
                                    multiply(acc_0, keys, at % STAGES, cols_0, shape)
                                multiply(acc_1, keys, at % STAGES, cols_1, shape)
                                T.wait_wgmma(1)
                                T.warpgroup_fence_operand(acc_0, num_regs=HALF // 2)
                                store(
                                    acc_0, gates_0, scale, out, starts, ends, first, key, inside, shape, lane
                                )
                                if u + 1 < run:
                                    T.mbarrier_wait_parity(full[(at + 1) % STAGES], ((at + 1) // STAGES) % 2)
                                    multiply(acc_0, keys, (at + 1) % STAGES, cols_0, shape)
                                    T.wait_wgmma(1)
                                else:
                                    T.wait_wgmma(0)
                                T.warpgroup_fence_operand(acc_1, num_regs=HALF // 2)
                                if lane == 0:
                                    T.mbarrier_arrive(empty[at % STAGES])
                                store(
                                    acc_1,
                                    gates_1,
                                    scale,
                                    out,
                                    starts,
                                    ends,
                                    first + queries // 2,
                                    key,
                                    inside,
                                    shape,
                                    lane,
                                )
                        count += hi
                        T.sync_warp()
                        if lane == 0:
                            T.mbarrier_arrive(q_empty[buffer])

    return main
