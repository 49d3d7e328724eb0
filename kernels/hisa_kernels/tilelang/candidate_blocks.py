"""Candidate scores, block-major: a key block stays in registers while the queries that chose it stream by.

`candidate_lists` sorts the (query, slot) pairs by block; here every thread block walks an equal share of that
list, whatever the popularity of single blocks.
"""

from typing import Any

import tilelang
import tilelang.language as T
from tilelang.layout import (
    make_full_bank_swizzled_layout,
    make_half_bank_swizzled_layout,
    make_quarter_bank_swizzled_layout,
)

from hisa_kernels.tilelang.build import kernel

OPTIONS = {
    # Producer and consumers meet at mbarriers alone; automatic barriers would stop one for the other.
    tilelang.PassConfigKey.TL_DISABLE_THREAD_STORAGE_SYNC: True,
    tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
    tilelang.PassConfigKey.TL_DISABLE_SHARED_MEMORY_REUSE: True,
}

LANES = 32
TEAM = 256
PRODUCER = 128
"""One warp of them works; the others are there because registers move between warpgroups only."""
COLUMNS = 128
"""Columns (heads of queries) of one matrix instruction."""

QUERY_BYTES = 128 << 10
"""Shared memory for queries in flight; keys and notes need some 70 KB more at most."""

MOST_STAGES = 8
ROW, PAIR, SEEN, KEY = range(4)
"""Columns of a list entry: query, (query · W + slot) or -1, visible tokens of the block, its first key."""


def swizzled(tile: Any, dim: int, dtype: str) -> Any:
    """The layout of `tile` [.., D] that spreads its rows over the banks of shared memory."""
    row = dim * (1 if dtype == "float8_e4m3fn" else 2)
    make = {32: make_quarter_bank_swizzled_layout, 64: make_half_bank_swizzled_layout}
    return make.get(row, make_full_bank_swizzled_layout)(tile)


def tile_queries(heads: int, block_size: int) -> int:
    """Queries that are scored together."""
    return max(1, min(COLUMNS * (128 // block_size) // heads, 16))


def schedule(heads: int, dim: int, block_size: int, element_size: int) -> dict[str, int]:
    """Stages and teams that fit shared memory and registers.

    Args:
        heads: H.
        dim: D.
        block_size: Tokens a key block.
        element_size: Bytes of one number of queries and keys.
    """
    tile = tile_queries(heads, block_size) * heads * dim * element_size
    return {
        "stages": max(2, min(MOST_STAGES, QUERY_BYTES // tile)),
        "teams": 2 if dim * element_size <= 128 else 1,
    }


@T.macro
def bring(
    operands: Any,
    shared: Any,
    bars: Any,
    lane: Any,
    worker: Any,
    workers: Any,
    own_chunks: Any,
    n_tiles: Any,
    group: int,
    panel: int | None,
    scaled: bool,
) -> None:
    """What the loading warp does: brings the query tiles of a block's share of the list, and their keys.

    Args:
        operands: Queries, keys, weights, scales of keys, and the list.
        shared: Query tiles, their weights, their entries of the list, the number of the key tile that each
            needs (counted from 1), key tiles and their scales.
        bars: Barriers of query tiles, full and empty, and of key tiles, full and empty.
        lane: The thread's place in its warp.
        worker: The thread block.
        workers: How many there are.
        own_chunks: How many stretches of the list are this block's.
        n_tiles: Query tiles of the whole list.
        group: Queries of a tile.
        panel: Elements of a row that one copy brings; None for whole rows.
        scaled: Whether keys have a scale.
    """
    q, k, weights, k_scale, pairs = operands
    q_tile, w_tile, note, turn_of, k_tile, s_tile = shared
    full, empty, k_full, k_empty = bars
    stages, key_tiles, block_size = turn_of.shape[0], k_tile.shape[0], k_tile.shape[1]
    heads, dim = q.shape[1], q.shape[2]
    chunk = LANES // group
    entry = T.alloc_local((4,), "int32")
    at = T.alloc_var("int32", init=0)
    key = T.alloc_var("int32", init=-1)
    changes = T.alloc_var("int32", init=0)
    for turn in T.serial(own_chunks):
        first = (worker + turn * workers) * chunk
        for v in T.vectorized(4):
            entry[v] = pairs[first * group + lane, v]
        for step in T.serial(T.min(chunk, n_tiles - first)):
            stage = at % stages
            T.barrier_wait(empty[stage], ((at // stages) & 1) ^ 1)
            own = T.shfl_sync(entry[KEY], step * group)
            if own != key:
                key = own
                slot = changes % key_tiles
                T.barrier_wait(k_empty[slot], ((changes // key_tiles) & 1) ^ 1)
                if scaled:
                    for i in T.unroll(block_size // LANES):
                        s_tile[slot, i * LANES + lane] = k_scale[
                            T.min(key + i * LANES + lane, k.shape[0] - 1)
                        ]
                T.tma_copy(
                    k[key : key + block_size, :],
                    k_tile[slot, :, :],
                    barrier=k_full[slot],
                    leader_scope_threads=LANES,
                )
                T.barrier_arrive(k_full[slot])
                changes = changes + 1
            if lane // group == step:
                for v in T.vectorized(4):
                    note[stage, lane % group, v] = entry[v]
            if lane == 0:
                turn_of[stage] = changes
            T.sync_warp()
            for j in T.serial(group):
                row = note[stage, j, ROW]
                if panel is None:
                    T.tma_copy(
                        q[row, :, :],
                        q_tile[stage, j * heads : (j + 1) * heads, :],
                        barrier=full[stage],
                        leader_scope_threads=LANES,
                    )
                else:
                    for part in T.unroll(dim // panel):
                        T.tma_copy(
                            q[row, :, part * panel : (part + 1) * panel],
                            q_tile[stage, j * heads : (j + 1) * heads, part * panel : (part + 1) * panel],
                            barrier=full[stage],
                            leader_scope_threads=LANES,
                        )
                T.tma_copy(
                    weights[row, :],
                    w_tile[stage, j, 0:heads],
                    barrier=full[stage],
                    leader_scope_threads=LANES,
                )
            T.barrier_arrive(full[stage])
            at = at + 1


@kernel(
    examples=[
        {"heads": 64, "dim": 128, "block_size": 128, "dtype": "float8_e4m3fn", "scaled": True}
        | schedule(64, 128, 128, 1),
        {"heads": 8, "dim": 128, "block_size": 64, "dtype": "bfloat16", "scaled": False}
        | schedule(8, 128, 64, 2),
    ],
    options=OPTIONS,
)
def candidate_blocks(
    heads: int,
    dim: int,
    block_size: int,
    dtype: str,
    scaled: bool,
    stages: int,
    teams: int,
) -> Any:
    """Scores of listed (query, block) pairs.

    Args:
        heads: H.
        dim: D.
        block_size: Tokens a key block, 64 or 128.
        dtype: Of queries and keys.
        scaled: Whether keys have a scale.
        stages: Query tiles in flight.
        teams: Pairs of warpgroups that take tiles in turn: one's sums hide behind the other's products. At
            most as many as there are key tiles: a team frees a key tile when its next query tile comes, and a
            third team's next one may be waiting for that very key tile.
    """
    group = tile_queries(heads, block_size)
    columns = group * heads
    chunk = LANES // group  # tiles that one look at the list feeds
    policy = T.GemmWarpPolicy.FullRow if block_size >= 128 else T.GemmWarpPolicy.FullCol
    m, n, scales, total, slots = (T.dynamic(x) for x in ("m", "n", "scales", "total", "slots"))
    f32 = "float32"
    consumers = teams * TEAM
    panel = min(dim, 128 if dtype == "float8_e4m3fn" else 64)  # what one swizzled row of shared memory holds
    many, few = {1: (216, 40), 2: (112, 32)}[teams]

    @T.macro
    def consume(team, thread, n_tiles, shared, bars, out):
        q_tile, w_tile, note, turn_of, k_tile, s_tile = shared
        full, empty, k_full, k_empty = bars
        keys = T.alloc_fragment((block_size, dim), dtype)
        scale = T.alloc_fragment((block_size,), f32)
        acc = T.alloc_fragment((block_size, columns), f32)
        by_head = T.reshape(acc, (block_size, group, heads))
        # Apart from the accumulator, which the next product's fence reads: so multiply and add fuse.
        gated = T.alloc_fragment((block_size, group, heads), f32)
        sums = T.alloc_fragment((block_size, group), f32)
        held = T.alloc_var("int32", init=0)
        for turn in T.serial(T.ceildiv(n_tiles - team, teams)):
            at = turn * teams + team
            stage = at % stages
            T.barrier_wait(full[stage], (at // stages) & 1)
            wanted = turn_of[stage]
            if wanted != held:
                if thread % LANES == 0:
                    for skipped in T.serial(wanted - held - 1):
                        T.barrier_arrive(k_empty[(held + skipped) & 1])
                held = wanted
                half = (held - 1) & 1
                T.barrier_wait(k_full[half], ((held - 1) >> 1) & 1)
                T.copy(k_tile[half, :, :], keys)
                if scaled:
                    T.copy(s_tile[half, :], scale)
                T.sync_warp()
                if thread % LANES == 0:
                    T.barrier_arrive(k_empty[half])
            T.wgmma_gemm(keys, q_tile[stage, :, :], acc, transpose_B=True, policy=policy, clear_accum=True)
            T.wait_wgmma(0)
            for i, j, h in T.Parallel(block_size, group, heads):
                gated[i, j, h] = T.max(by_head[i, j, h], T.float32(0)) * w_tile[stage, j, h]
            T.reduce_sum(gated, sums, dim=2)
            for i, j in T.Parallel(block_size, group):
                if note[stage, j, PAIR] >= 0:
                    out[note[stage, j, PAIR], i] = T.if_then_else(
                        i < note[stage, j, SEEN],
                        sums[i, j] * scale[i] if scaled else sums[i, j],
                        -T.infinity(f32),
                    )
            T.sync_warp()
            if thread % LANES == 0:
                T.barrier_arrive(empty[stage])

    @T.prim_func
    def candidate_blocks_kernel(
        q: T.Tensor((m, heads, dim), dtype),
        k: T.Tensor((n, dim), dtype),
        weights: T.Tensor((m, heads), f32),
        k_scale: T.Tensor((scales,), f32),
        pairs: T.Tensor((total, 4), "int32"),
        counts: T.Tensor((1,), "int32"),
        out: T.Tensor((slots, block_size), f32),
        workers: T.int32,
    ):
        with T.Kernel(workers, threads=consumers + PRODUCER) as worker:
            q_tile = T.alloc_shared((stages, columns, dim), dtype)
            w_tile = T.alloc_shared((stages, group, max(heads, 32)), f32)
            note = T.alloc_shared((stages, group, 4), "int32")
            turn_of = T.alloc_shared((stages,), "int32")
            k_tile = T.alloc_shared((2, block_size, dim), dtype)
            s_tile = T.alloc_shared((2, block_size), f32)
            full = T.alloc_barrier([LANES] * stages)
            empty = T.alloc_barrier([TEAM // LANES] * stages)
            k_full = T.alloc_barrier([LANES] * 2)
            k_empty = T.alloc_barrier([consumers // LANES] * 2)
            T.annotate_layout({k_tile: swizzled(k_tile, dim, dtype)})

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
                T.set_max_nreg(many, 1)
                consume(0, thread, own_tiles, shared, bars, out)
            elif thread < consumers:
                T.set_max_nreg(many, 1)
                consume(1, thread, own_tiles, shared, bars, out)
            elif thread >= consumers + LANES:
                T.set_max_nreg(few, 0)
            else:
                T.set_max_nreg(few, 0)
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
                    panel,
                    scaled,
                )

    return candidate_blocks_kernel
