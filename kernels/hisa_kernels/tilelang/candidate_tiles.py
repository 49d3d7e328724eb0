"""Candidate scores, block-major, for rows of at most 128 bytes and key blocks of 128: the shape that matters.

The same walk as `candidate_blocks`, with the sums of `score_parts`: both operands stay in shared memory, and
the four lanes that hold a key's products share out its sums, so that each of them writes one score.
"""

from typing import Any

import tilelang
import tilelang.language as T

from hisa_kernels.tilelang.build import kernel
from hisa_kernels.tilelang.candidate_blocks import (
    LANES,
    MOST_STAGES,
    PAIR,
    PRODUCER,
    QUERY_BYTES,
    SEEN,
    TEAM,
    bring,
    tile_queries,
)
from hisa_kernels.tilelang.score_parts import FP8, GROUP, HALF, KEYS, TILE, Operand, Shape, head_sum, point_at

OPTIONS = {
    # Producer and consumers meet at mbarriers alone; automatic barriers would stop one for the other.
    tilelang.PassConfigKey.TL_DISABLE_THREAD_STORAGE_SYNC: True,
    tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
    tilelang.PassConfigKey.TL_DISABLE_SHARED_MEMORY_REUSE: True,
}

TEAMS = 2
"""Pairs of warpgroups that take tiles in turn: one's sums hide behind the other's products."""

KEY_TILES = TEAMS + 1
"""Key tiles in shared memory. A team frees one when its next query tile names another; a new one is fetched
for a query tile whose two predecessors have been handed out by then, so that all before theirs are free."""

MOST_ROW_BYTES = 128
"""Widest rows of queries and keys: those that one swizzle spreads."""


def takes(heads: int, dim: int, block_size: int, element_size: int) -> bool:
    """Whether this kernel serves such a call.

    Args:
        heads: H.
        dim: D.
        block_size: Tokens a key block.
        element_size: Bytes of one number of queries and keys.
    """
    return block_size == TILE and dim * element_size <= MOST_ROW_BYTES and HALF % heads == 0 and heads >= 8


def stages_of(heads: int, dim: int, element_size: int) -> int:
    """Query tiles in flight."""
    tile = tile_queries(heads, TILE) * heads * dim * element_size
    return max(2, min(MOST_STAGES, QUERY_BYTES // tile))


@T.macro
def multiply(acc: Any, keys: Any, held: Any, queries: Any, stage: Any, operand: Any) -> None:
    """Starts the product of a warpgroup's 64 keys and a query tile; does not wait for it.

    Args:
        acc: Accumulator.
        keys: Descriptor of the warpgroup's keys in the first key tile.
        held: Which key tile.
        queries: Descriptor of the first query tile.
        stage: Which query tile.
        operand: See `Operand`.
    """
    T.warpgroup_fence_operand(acc, num_regs=HALF // 2)
    T.warpgroup_arrive()
    for i in T.unroll(operand.dim // operand.step):
        T.ptx_wgmma_ss(
            "float32",
            f"m64n{HALF}k{operand.step}",
            True,
            True,
            operand.short_name,
            operand.short_name,
            "fp32",
            keys.data,
            held * (TILE * operand.row >> 4) + operand.offset(i, TILE),
            queries.data,
            stage * (HALF * operand.row >> 4) + operand.offset(i, HALF),
            acc.data,
            0,
            T.Select(i != 0, 1, 0),
            1,
            1,
        )
    T.warpgroup_commit_batch()


@kernel(
    examples=[
        {"heads": 64, "dim": 128, "dtype": FP8, "scaled": True, "stages": stages_of(64, 128, 1)},
        {"heads": 8, "dim": 64, "dtype": "bfloat16", "scaled": False, "stages": stages_of(8, 64, 2)},
    ],
    options=OPTIONS,
)
def candidate_tiles(heads: int, dim: int, dtype: str, scaled: bool, stages: int) -> Any:
    """Scores of listed (query, block) pairs, blocks of 128 keys.

    Args:
        heads: H, a multiple of 8.
        dim: D.
        dtype: Of queries and keys.
        scaled: Whether keys have a scale.
        stages: Query tiles in flight.
    """
    operand = Operand(dim, dtype)
    shape = Shape(heads, operand)
    group = tile_queries(heads, TILE)
    chunk = LANES // group  # tiles that one look at the list feeds
    m, n, scales, total, slots = (T.dynamic(x) for x in ("m", "n", "scales", "total", "slots"))
    f32 = "float32"
    consumers = TEAMS * TEAM

    @T.macro
    def consume(team, thread, n_tiles, shared, bars, out):
        q_tile, w_tile, note, turn_of, k_tile, s_tile = shared
        full, empty, k_full, k_empty = bars
        lane = thread % LANES
        warpgroup = T.shfl_sync(thread // GROUP, 0) % 2
        acc = T.alloc_local((HALF // 2,), f32)
        gates = T.alloc_local((HALF // 4,), f32)
        keys = T.alloc_wgmma_desc()
        cols = T.alloc_wgmma_desc()
        value = T.alloc_var(f32)
        scale = T.alloc_var(f32)
        held = T.alloc_var("int32", init=0)
        slot = T.alloc_var("int32", init=0)
        scale = T.float32(1)
        point_at(keys, k_tile, operand)
        T.increase_descriptor_offset(keys, warpgroup * (KEYS * operand.row))
        point_at(cols, q_tile, operand)
        for turn in T.serial(T.ceildiv(n_tiles - team, TEAMS)):
            at = turn * TEAMS + team
            stage = at % stages
            T.barrier_wait(full[stage], (at // stages) & 1)
            wanted = turn_of[stage]
            if wanted != held:
                # All that came before is free now; of the first none did.
                T.sync_warp()
                if lane == 0:
                    for skipped in T.serial(wanted - T.max(held, 1)):
                        T.barrier_arrive(k_empty[(T.max(held, 1) - 1 + skipped) % KEY_TILES])
                held = wanted
                slot = (held - 1) % KEY_TILES
                T.barrier_wait(k_full[slot], ((held - 1) // KEY_TILES) & 1)
                if scaled:
                    scale = s_tile[slot, shape.key(thread, lane)]
            multiply(acc, keys, slot, cols, stage, operand)
            for i in T.unroll(HALF // 4):
                first = i // 2 * 8
                gates[i] = w_tile[stage, first // heads, first % heads + lane % 4 * 2 + i % 2]
            T.wait_wgmma(0)
            T.warpgroup_fence_operand(acc, num_regs=HALF // 2)
            for i in T.unroll(shape.held):
                head_sum(acc, gates, i, value, shape, lane)
                if note[stage, shape.query(i, lane), PAIR] >= 0:
                    out[note[stage, shape.query(i, lane), PAIR], shape.key(thread, lane)] = T.if_then_else(
                        shape.key(thread, lane) < note[stage, shape.query(i, lane), SEEN],
                        value * scale,
                        -T.infinity(f32),
                    )
            T.sync_warp()
            if lane == 0:
                T.barrier_arrive(empty[stage])

    @T.prim_func
    def candidate_tiles_kernel(
        q: T.Tensor((m, heads, dim), dtype),
        k: T.Tensor((n, dim), dtype),
        weights: T.Tensor((m, heads), f32),
        k_scale: T.Tensor((scales,), f32),
        pairs: T.Tensor((total, 4), "int32"),
        counts: T.Tensor((1,), "int32"),
        out: T.Tensor((slots, TILE), f32),
        workers: T.int32,
    ):
        with T.Kernel(workers, threads=consumers + PRODUCER) as worker:
            q_tile = T.alloc_shared((stages, HALF, dim), dtype)
            # Copies end at multiples of 128 bytes.
            w_tile = T.alloc_shared((stages, group, max(heads, 32)), f32)
            note = T.alloc_shared((stages, group, 4), "int32")
            turn_of = T.alloc_shared((stages,), "int32")
            k_tile = T.alloc_shared((KEY_TILES, TILE, dim), dtype)
            s_tile = T.alloc_shared((KEY_TILES, TILE), f32)
            full = T.alloc_barrier([LANES] * stages)
            empty = T.alloc_barrier([TEAM // LANES] * stages)
            k_full = T.alloc_barrier([LANES] * KEY_TILES)
            k_empty = T.alloc_barrier([consumers // LANES] * KEY_TILES)
            T.annotate_layout({q_tile: operand.layout(q_tile), k_tile: operand.layout(k_tile)})

            thread = T.get_thread_binding()
            n_tiles = counts[0]
            n_chunks = T.ceildiv(n_tiles, chunk)
            own_chunks = T.ceildiv(n_chunks - worker, workers)
            # All chunks are full but the very last one.
            missing = T.if_then_else((n_chunks - 1) % workers == worker, n_chunks * chunk - n_tiles, 0)
            own_tiles = T.max(0, own_chunks * chunk - missing)
            bars = (full, empty, k_full, k_empty)
            shared = (q_tile, w_tile, note, turn_of, k_tile, s_tile)
            if thread < TEAM:
                T.set_max_nreg(112, 1)
                consume(0, thread, own_tiles, shared, bars, out)
            elif thread < consumers:
                T.set_max_nreg(112, 1)
                consume(1, thread, own_tiles, shared, bars, out)
            elif thread >= consumers + LANES:
                T.set_max_nreg(32, 0)
            else:
                T.set_max_nreg(32, 0)
                bring(
                    (q, k, weights, k_scale, pairs),
                    shared,
                    bars,
                    thread - consumers,
                    worker,
                    workers,
                    own_chunks,
                    n_tiles,
                    group,
                    None,
                    scaled,
                )

    return candidate_tiles_kernel
