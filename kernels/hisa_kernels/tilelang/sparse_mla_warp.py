"""Sparse MLA for few heads or narrow values: one warp attends for one query.

A warp needs no one else: it gathers its own latents with asynchronous copies several tiles ahead, and keeps
the scores, running maximum and output of 16 heads in registers. What bounds it is the gather.
"""

from typing import Any

import tilelang
import tilelang.language as T

from hisa_kernels.tilelang.build import kernel

OPTIONS = {
    # A warp's barriers are placed by hand.
    tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
    tilelang.PassConfigKey.TL_DISABLE_THREAD_STORAGE_SYNC: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
    tilelang.PassConfigKey.TL_ENABLE_FAST_MATH: True,
}

HEADS = 16
"""Heads of a warp: the rows of its matrix products."""

LOWEST = -1e30
"""Where the running maximum starts: finite, so that a difference from it is a number."""


@T.macro
def gather(
    kv: Any, numbers: Any, kv_tile: Any, used: Any, stage: Any, ahead: Any, tile: int, dim: int, lane: Any
) -> None:
    """Starts the copy of a tile of latents; where an index is negative, zeros are written.

    Args:
        kv: Latents.
        numbers: The lane's own indices of the tile.
        kv_tile: Tiles in shared memory.
        used: The tiles' indices in shared memory.
        stage: Which tile.
        ahead: Whether there is anything to copy.
        tile: Latents of a tile.
        dim: Width of a latent.
        lane: The thread's number.
    """
    chunks = dim // 8
    for i in T.unroll(tile // 32):
        used[stage, i * 32 + lane] = numbers[i]
    T.sync_warp()
    if ahead:
        for i in T.unroll(tile * chunks // 32):
            row = (i * 32 + lane) // chunks
            column = (i * 32 + lane) % chunks * 8
            index = used[stage, row]
            T.ptx_cp_async(
                T.access_ptr(kv_tile[stage, row, column], "w", 8),
                T.access_ptr(kv[T.max(index, 0), column], "r", 8),
                8,
                index >= 0,
            )
    T.ptx_commit_group()


@kernel(
    examples=[
        {"dim": 128, "value": 96, "tile": 32, "stages": 2},
        {"dim": 64, "value": 64, "tile": 32, "stages": 2},
    ],
    options=OPTIONS,
)
def sparse_mla_warp(dim: int, value: int, tile: int, stages: int) -> Any:
    """Attention of one query and up to 16 of its heads over its chosen latents.

    Args:
        dim: Width of a latent, a multiple of 16.
        value: Columns of a value, a multiple of 16.
        tile: Latents of a tile, a multiple of 32.
        stages: Tiles in shared memory.
    """
    m, heads, n, w = (T.dynamic(name) for name in ("m", "heads", "n", "w"))
    dtype, f32 = "bfloat16", "float32"

    @T.prim_func
    def main(
        q: T.Tensor((m, heads, dim), dtype),
        kv: T.Tensor((n, dim), dtype),
        indices: T.Tensor((m, w), "int32"),
        out: T.Tensor((m, heads, value), dtype),
        scale: T.float32,
    ):
        with T.Kernel(m * T.ceildiv(heads, HEADS), threads=32) as block:
            lane = T.get_thread_binding()
            q_tile = T.alloc_shared((HEADS, dim), dtype)
            kv_tile = T.alloc_shared((stages, tile, dim), dtype)
            used = T.alloc_shared((stages, tile), "int32")
            q_frag = T.alloc_fragment((HEADS, dim), dtype)
            logits = T.alloc_fragment((HEADS, tile), f32)
            shares = T.alloc_fragment((HEADS, tile), dtype)
            acc = T.alloc_fragment((HEADS, value), f32)
            top = T.alloc_fragment((HEADS,), f32)
            old = T.alloc_fragment((HEADS,), f32)
            total = T.alloc_fragment((HEADS,), f32)
            added = T.alloc_fragment((HEADS,), f32)
            numbers = T.alloc_local((tile // 32,), "int32")
            held = T.alloc_var("bool")
            full = T.alloc_var("bool")
            stage = T.alloc_var("int32")

            query = T.alloc_var("int32")
            first = T.alloc_var("int32")
            parts = T.alloc_var("int32")
            parts = T.truncdiv(heads + HEADS - 1, HEADS)
            query = T.truncdiv(block, parts)
            first = (block - query * parts) * HEADS
            for i, d in T.Parallel(HEADS, dim):
                q_tile[i, d] = T.if_then_else(
                    first + i < heads, q[query, T.min(first + i, heads - 1), d], T.cast(0, dtype)
                )
            T.sync_warp()
            T.copy(q_tile, q_frag)
            # What is written next may lie where the queries lay.
            T.sync_warp()
            T.fill(acc, 0)
            T.fill(total, 0)
            T.fill(top, LOWEST)

            tiles = T.ceildiv(w, tile)
            for s in T.unroll(stages - 1):
                held = False
                for i in T.unroll(tile // 32):
                    numbers[i] = -1
                    if s * tile + i * 32 + lane < w:
                        numbers[i] = indices[query, s * tile + i * 32 + lane]
                    held = held or numbers[i] >= 0
                gather(kv, numbers, kv_tile, used, s, T.any_sync(held) != 0, tile, dim, lane)
            for i in T.unroll(tile // 32):
                numbers[i] = -1
                if (stages - 1) * tile + i * 32 + lane < w:
                    numbers[i] = indices[query, (stages - 1) * tile + i * 32 + lane]

            for t in T.serial(tiles):
                T.ptx_wait_group(stages - 2)
                T.sync_warp()
                stage = (t + stages - 1) % stages
                held = False
                for i in T.unroll(tile // 32):
                    held = held or numbers[i] >= 0
                gather(kv, numbers, kv_tile, used, stage, T.any_sync(held) != 0, tile, dim, lane)
                for i in T.unroll(tile // 32):
                    numbers[i] = -1
                    if (t + stages) * tile + i * 32 + lane < w:
                        numbers[i] = indices[query, (t + stages) * tile + i * 32 + lane]
                stage = t % stages
                held = False
                full = True
                for i in T.unroll(tile // 32):
                    held = held or used[stage, i * 32 + lane] >= 0
                    full = full and used[stage, i * 32 + lane] >= 0
                if T.any_sync(held) != 0:
                    T.gemm(q_frag, kv_tile[stage, :, :], logits, transpose_B=True, clear_accum=True)
                    # Scaled before masked: a negative scale would turn −inf round.
                    for i, j in T.Parallel(HEADS, tile):
                        logits[i, j] *= scale
                    if T.all_sync(full) == 0:
                        for i, j in T.Parallel(HEADS, tile):
                            logits[i, j] = T.if_then_else(used[stage, j] >= 0, logits[i, j], -T.infinity(f32))
                    T.copy(top, old)
                    T.reduce_max(logits, top, dim=1, clear=False)
                    for i in T.Parallel(HEADS):
                        old[i] = T.exp2(old[i] - top[i])
                    for i, j in T.Parallel(HEADS, tile):
                        logits[i, j] = T.exp2(logits[i, j] - top[i])
                    T.reduce_sum(logits, added, dim=1)
                    for i in T.Parallel(HEADS):
                        total[i] = total[i] * old[i] + added[i]
                    T.copy(logits, shares)
                    for i, d in T.Parallel(HEADS, value):
                        acc[i, d] *= old[i]
                    T.gemm(shares, kv_tile[stage, :, :value], acc)
            T.ptx_wait_group(0)
            for i, d in T.Parallel(HEADS, value):
                if first + i < heads:
                    out[query, first + i, d] = T.cast(
                        T.if_then_else(total[i] > 0, acc[i, d] / total[i], T.float32(0)), dtype
                    )

    return main
