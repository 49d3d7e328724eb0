"""The TileLang program that scores the keys of a decode step: one query a sequence, all or chosen keys.

What bounds it is reading the keys. Thread blocks share the keys of a sequence; in each, one warp brings tiles
of 64 tokens (TMA) while a warpgroup multiplies, rectifies, weighs and sums those before. A score depends
on its key and query alone, to the bit: flat and hierarchical selection rank the same numbers.
"""

from typing import Any

import tilelang
import tilelang.language as T

from hisa_kernels.tilelang.build import kernel
from hisa_kernels.tilelang.chain import lead

OPTIONS = {
    # Barriers and roles are placed by hand.
    tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
    tilelang.PassConfigKey.TL_DISABLE_THREAD_STORAGE_SYNC: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
    tilelang.PassConfigKey.TL_DISABLE_SHARED_MEMORY_REUSE: True,
}

FP8 = "float8_e4m3fn"

TILE = 64
"""Tokens of a tile: the rows of a warpgroup's matrix product, and of a page."""

PAGE = 64
"""Tokens of a page."""

NOWHERE = 1 << 30
"""A token that no sequence has."""


@kernel(
    examples=[
        {"heads": 64, "dim": 128, "dtype": FP8, "paged": True, "block_size": 128},
        {"heads": 16, "dim": 64, "dtype": "bfloat16", "paged": False, "block_size": 16},
        {"heads": 64, "dim": 128, "dtype": FP8, "paged": False, "block_size": 0},
    ],
    options=OPTIONS,
)
def decode_tiles(heads: int, dim: int, dtype: str, paged: bool, block_size: int, stages: int = 4) -> Any:
    """Scores of one query a sequence.

    Args:
        heads: H, a multiple of 8.
        dim: D.
        dtype: Of queries and keys.
        paged: Whether keys lie in pages that a table names, else in a matrix of each sequence's own.
        block_size: B where the tokens of chosen blocks are scored (a power of two, at least 8), 0 for all.
        stages: Tiles in flight.
    """
    batch, n_pages, page_rows, stride, scale_stride = (
        T.dynamic(x) for x in ("batch", "n_pages", "page_rows", "stride", "scale_stride")
    )
    n_scales, scale_rows, table_rows, table_columns, block_rows, width = (
        T.dynamic(x) for x in ("n_scales", "scale_rows", "table_rows", "table_columns", "block_rows", "width")
    )
    columns = T.dynamic("columns")
    size = 1 if dtype == FP8 else 2
    panel = min(dim, 128 // size)
    panels = dim // panel
    piece = TILE if block_size == 0 else min(TILE, block_size)
    pieces = TILE // piece
    scaled = dtype == FP8
    f32 = "float32"

    @T.prim_func
    def main(
        q: T.Tensor((batch, heads, dim), dtype),
        k: T.StridedTensor((n_pages, page_rows, dim), (stride, dim, 1), dtype),
        k_scale: T.StridedTensor((n_scales, scale_rows), (scale_stride, 1), f32),
        weights: T.Tensor((batch, heads), f32),
        lengths: T.Tensor((batch,), "int32"),
        table: T.Tensor((table_rows, table_columns), "int32"),
        blocks: T.Tensor((block_rows, width), "int32"),
        out: T.Tensor((batch, columns), f32),
        splits: T.int32,
    ):
        with T.Kernel(splits, batch, threads=160) as (split, row):
            # Where all keys are scored all thread blocks are busy to the end: another kernel is in the way.
            if block_size > 0:
                lead()
            thread = T.get_thread_binding()
            q_tile = T.alloc_shared((panels, heads, panel), dtype)
            k_tile = T.alloc_shared((stages, panels, TILE, panel), dtype)
            scales = T.alloc_shared((stages, TILE), f32)
            places = T.alloc_shared((stages, pieces), "int32")
            gates = T.alloc_shared((heads,), f32)
            unused = T.alloc_shared((32,), "int32")
            full = T.alloc_barrier([64 if scaled else 32] * stages)
            empty = T.alloc_barrier([128] * stages)
            length = T.alloc_var("int32")
            lo = T.alloc_var("int32")
            n = T.alloc_var("int32")

            length = lengths[row]
            n = T.truncdiv((columns if block_size > 0 else T.min(length, columns)) + TILE - 1, TILE)
            lo = T.truncdiv(split * n, splits)
            n = T.truncdiv((split + 1) * n, splits) - lo

            if thread >= 128:
                lane = thread - 128
                if block_size > 0:
                    if paged:
                        # Brings the sequence's pages into the L2 cache, a number of each sector of it.
                        for i in T.serial(T.ceildiv(table_columns, 256 * splits)):
                            if ((i * splits + split) * 32 + lane) * 8 < table_columns:
                                T.ptx_cp_async(
                                    T.access_ptr(unused[lane], "w", 1),
                                    T.access_ptr(table[row, ((i * splits + split) * 32 + lane) * 8], "r", 1),
                                    1,
                                )
                    # Only the chosen blocks are of this chain's making.
                    T.pdl_sync()
                token = T.alloc_var("int32")
                own_page = T.alloc_var("int32")
                first = T.alloc_var("int32")
                page = T.alloc_var("int32")
                at = T.alloc_var("int32")
                for i in T.serial(n):
                    # Each lane looks up a piece; so the table is read once for 32 of them.
                    if i * pieces % 32 == 0:
                        at = ((lo + i) * pieces + lane) * piece
                        token = NOWHERE
                        own_page = row
                        if at < (lo + n) * TILE and at < columns:
                            if block_size > 0:
                                if blocks[row, at // block_size] >= 0:
                                    token = blocks[row, at // block_size] * block_size + at % block_size
                            else:
                                token = at
                            if token >= length:
                                token = NOWHERE
                            elif paged:
                                own_page = table[row, token // PAGE]
                    T.mbarrier_wait_parity(empty[i % stages], i // stages % 2 ^ 1)
                    for p in T.unroll(pieces):
                        first = T.shfl_sync(token, i * pieces % 32 + p)
                        page = T.shfl_sync(own_page, i * pieces % 32 + p)
                        if lane == 0:
                            places[i % stages, p] = first
                        if first < length:
                            at = first % PAGE if paged else first
                            for c in T.unroll(panels):
                                T.tma_copy(
                                    k[page, at : at + piece, c * panel : (c + 1) * panel],
                                    k_tile[i % stages, c, p * piece : (p + 1) * piece, :],
                                    barrier=full[i % stages],
                                )
                            if scaled:
                                for j in T.unroll((piece + 31) // 32):
                                    if j * 32 + lane < piece and at + j * 32 + lane < scale_rows:
                                        T.ptx_cp_async(
                                            T.access_ptr(
                                                scales[i % stages, p * piece + j * 32 + lane], "w", 1
                                            ),
                                            T.access_ptr(k_scale[page, at + j * 32 + lane], "r", 1),
                                            1,
                                        )
                    if scaled:
                        T.cp_async_barrier_noinc(full[i % stages])
                    T.mbarrier_arrive(full[i % stages])
                T.ptx_commit_group()
                T.ptx_wait_group(0)
            else:
                acc = T.alloc_fragment((TILE, heads), f32)
                sums = T.alloc_fragment((TILE,), f32)
                if n > 0:
                    for p in T.unroll(panels):
                        for h, d in T.Parallel(heads, panel):
                            q_tile[p, h, d] = q[row, h, p * panel + d]
                    for h in T.Parallel(heads):
                        gates[h] = weights[row, h]
                T.fence_proxy_async()
                T.sync_threads(1, 128)
                for i in T.serial(n):
                    T.mbarrier_wait_parity(full[i % stages], i // stages % 2)
                    for c in T.unroll(panels):
                        T.gemm(
                            k_tile[i % stages, c, :, :],
                            q_tile[c, :, :],
                            acc,
                            transpose_B=True,
                            clear_accum=c == 0,
                        )
                    for j, h in T.Parallel(TILE, heads):
                        acc[j, h] = T.max(acc[j, h], T.float32(0)) * gates[h]
                    T.reduce_sum(acc, sums, dim=1)
                    for j in T.Parallel(TILE):
                        if (lo + i) * TILE + j < columns:
                            if places[i % stages, j // piece] + j % piece < length:
                                out[row, (lo + i) * TILE + j] = sums[j] * (
                                    scales[i % stages, j] if scaled else T.float32(1)
                                )
                            elif block_size > 0:
                                out[row, (lo + i) * TILE + j] = -T.infinity(f32)
                    T.mbarrier_arrive(empty[i % stages])

    return main
