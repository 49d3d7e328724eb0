"""Sparse MLA for many heads and wide values: a thread block attends for 64 heads of one query.

One warpgroup gathers latents with asynchronous copies; another scores them, keeps the running maximum and
sums the left half of the values; the third sums the right half with the shares that the second hands over.
What bounds it is the gather: 64 heads hardly keep up with the cache, and 128 read every latent twice.
"""

from typing import Any

import tilelang
import tilelang.language as T

from hisa_kernels.tilelang.build import kernel

OPTIONS = {
    # Barriers and roles are placed by hand.
    tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
    tilelang.PassConfigKey.TL_DISABLE_THREAD_STORAGE_SYNC: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
    tilelang.PassConfigKey.TL_DISABLE_SHARED_MEMORY_REUSE: True,
    tilelang.PassConfigKey.TL_ENABLE_FAST_MATH: True,
}

HEADS = 64
"""Heads of a thread block: the rows of a warpgroup's matrix product."""

TILE = 64
"""Latents of a tile."""

GROUP = 128
"""Threads of a warpgroup."""

LOWEST = -1e30
"""Where the running maximum starts: finite, so that a difference from it is a number."""


@kernel(examples=[{"dim": 576, "value": 512, "stages": 2}], options=OPTIONS)
def sparse_mla_group(dim: int, value: int, stages: int) -> Any:
    """Attention of one query and up to 64 of its heads over its chosen latents.

    Args:
        dim: Width of a latent, a multiple of 64.
        value: Columns of a value, a multiple of 128.
        stages: Tiles in shared memory.
    """
    m, heads, n, w = (T.dynamic(name) for name in ("m", "heads", "n", "w"))
    dtype, f32 = "bfloat16", "float32"
    half = value // 2
    rounds = TILE // 16

    @T.prim_func
    def main(
        q: T.Tensor((m, heads, dim), dtype),
        kv: T.Tensor((n, dim), dtype),
        indices: T.Tensor((m, w), "int32"),
        out: T.Tensor((m, heads, value), dtype),
        scale: T.float32,
    ):
        with T.Kernel(m * T.ceildiv(heads, HEADS), threads=3 * GROUP) as block:
            thread = T.get_thread_binding()
            q_tile = T.alloc_shared((HEADS, dim), dtype)
            kv_tile = T.alloc_shared((stages, TILE, dim), dtype)
            shares_tile = T.alloc_shared((HEADS, TILE), dtype)
            # Every buffer starts at a multiple of 1 KB, and there is hardly one to spare: the number of tiles
            # is kept behind the tiles' indices.
            used = T.alloc_shared((stages * TILE + 1,), "int32")
            factor = T.alloc_shared((HEADS,), f32)
            copied = T.alloc_barrier([GROUP] * stages)
            listed = T.alloc_barrier([GROUP] * stages)
            empty = T.alloc_barrier([2 * GROUP] * stages)
            ready = T.alloc_barrier(GROUP)
            taken = T.alloc_barrier(GROUP)

            query = T.alloc_var("int32")
            first = T.alloc_var("int32")
            parts = T.alloc_var("int32")
            parts = T.truncdiv(heads + HEADS - 1, HEADS)
            query = T.truncdiv(block, parts)
            first = (block - query * parts) * HEADS
            tiles = T.alloc_var("int32")
            if thread == 0:
                used[stages * TILE] = 0
            for i, d in T.Parallel(HEADS, dim):
                q_tile[i, d] = T.if_then_else(
                    first + i < heads, q[query, T.min(first + i, heads - 1), d], T.cast(0, dtype)
                )
            T.sync_threads()
            # Tiles behind the last index are not looked at.
            tiles = 0
            for i in T.serial(T.ceildiv(w, 3 * GROUP)):
                if i * (3 * GROUP) + thread < w and indices[query, i * (3 * GROUP) + thread] >= 0:
                    tiles = (i * (3 * GROUP) + thread) // TILE + 1
            T.atomic_max(used[stages * TILE], tiles)
            T.fence_proxy_async()
            T.sync_threads()
            tiles = used[stages * TILE]

            if thread < GROUP:
                T.set_max_nreg(240, 1)
                logits = T.alloc_fragment((HEADS, TILE), f32)
                shares = T.alloc_fragment((HEADS, TILE), dtype)
                left = T.alloc_fragment((HEADS, half), f32)
                top = T.alloc_fragment((HEADS,), f32)
                old = T.alloc_fragment((HEADS,), f32)
                total = T.alloc_fragment((HEADS,), f32)
                added = T.alloc_fragment((HEADS,), f32)
                T.fill(left, 0)
                T.fill(total, 0)
                T.fill(top, LOWEST)
                for t in T.serial(tiles):
                    T.mbarrier_wait_parity(listed[t % stages], t // stages % 2)
                    T.mbarrier_wait_parity(copied[t % stages], t // stages % 2)
                    T.fence_proxy_async()
                    T.gemm(q_tile, kv_tile[t % stages, :, :], logits, transpose_B=True, clear_accum=True)
                    for i, j in T.Parallel(HEADS, TILE):
                        logits[i, j] = T.if_then_else(
                            used[t % stages * TILE + j] >= 0, logits[i, j] * scale, -T.infinity(f32)
                        )
                    T.copy(top, old)
                    T.reduce_max(logits, top, dim=1, clear=False)
                    for i in T.Parallel(HEADS):
                        old[i] = T.exp2(old[i] - top[i])
                    for i, j in T.Parallel(HEADS, TILE):
                        logits[i, j] = T.exp2(logits[i, j] - top[i])
                    T.reduce_sum(logits, added, dim=1)
                    for i in T.Parallel(HEADS):
                        total[i] = total[i] * old[i] + added[i]
                    T.copy(logits, shares)
                    T.mbarrier_wait_parity(taken, t % 2 ^ 1)
                    T.copy(shares, shares_tile)
                    T.copy(old, factor)
                    T.fence_proxy_async()
                    T.mbarrier_arrive(ready)
                    for i, d in T.Parallel(HEADS, half):
                        left[i, d] *= old[i]
                    T.gemm(shares, kv_tile[t % stages, :, :half], left)
                    T.mbarrier_arrive(empty[t % stages])
                T.mbarrier_wait_parity(taken, tiles % 2 ^ 1)
                for i in T.Parallel(HEADS):
                    total[i] = T.if_then_else(total[i] > 0, 1 / total[i], T.float32(0))
                T.copy(total, factor)
                T.mbarrier_arrive(ready)
                for i, d in T.Parallel(HEADS, half):
                    if first + i < heads:
                        out[query, first + i, d] = T.cast(left[i, d] * total[i], dtype)
            elif thread < 2 * GROUP:
                T.set_max_nreg(168, 1)
                right = T.alloc_fragment((HEADS, half), f32)
                T.fill(right, 0)
                for t in T.serial(tiles):
                    T.mbarrier_wait_parity(copied[t % stages], t // stages % 2)
                    T.mbarrier_wait_parity(ready, t % 2)
                    T.fence_proxy_async()
                    for i, d in T.Parallel(HEADS, half):
                        right[i, d] *= factor[i]
                    T.gemm(shares_tile, kv_tile[t % stages, :, half:value], right)
                    T.mbarrier_arrive(empty[t % stages])
                    T.mbarrier_arrive(taken)
                T.mbarrier_wait_parity(ready, tiles % 2)
                for i, d in T.Parallel(HEADS, half):
                    if first + i < heads:
                        out[query, first + i, half + d] = T.cast(right[i, d] * factor[i], dtype)
            else:
                T.set_max_nreg(80, 0)
                number = T.alloc_local((rounds,), "int32")
                ahead = T.alloc_local((rounds,), "int32")
                own = thread - 2 * GROUP
                for r in T.unroll(rounds):
                    ahead[r] = -1
                    if r * 16 + own // 8 < w:
                        ahead[r] = indices[query, r * 16 + own // 8]
                for t in T.serial(tiles):
                    for r in T.unroll(rounds):
                        number[r] = ahead[r]
                        ahead[r] = -1
                        if (t + 1) * TILE + r * 16 + own // 8 < w:
                            ahead[r] = indices[query, (t + 1) * TILE + r * 16 + own // 8]
                    T.mbarrier_wait_parity(empty[t % stages], t // stages % 2 ^ 1)
                    for r in T.unroll(rounds):
                        if own % 8 == 0:
                            used[t % stages * TILE + r * 16 + own // 8] = number[r]
                    T.mbarrier_arrive(listed[t % stages])
                    for r in T.unroll(rounds):
                        for c in T.unroll(dim // 64):
                            T.ptx_cp_async(
                                T.access_ptr(
                                    kv_tile[t % stages, r * 16 + own // 8, c * 64 + own % 8 * 8], "w", 8
                                ),
                                T.access_ptr(kv[T.max(number[r], 0), c * 64 + own % 8 * 8], "r", 8),
                                8,
                                number[r] >= 0,
                            )
                    T.cp_async_barrier_noinc(copied[t % stages])
                T.ptx_commit_group()
                T.ptx_wait_group(0)

    return main
