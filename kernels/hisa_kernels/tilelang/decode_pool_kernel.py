"""The TileLang programs of a decode step's first stage: pooling the open blocks, and scoring pooled keys."""

from typing import Any

import tilelang
import tilelang.language as T

from hisa_kernels.tilelang.build import kernel
from hisa_kernels.tilelang.chain import lead

OPTIONS = {
    tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
}

FP8 = "float8_e4m3fn"

PAGE = 64
"""Tokens of a page."""

NOWHERE = 1 << 30
"""More tokens than any sequence has."""

PARTS = 4
"""Threads that share one dimension of a block."""

TILE = 64
"""Pooled keys that are scored together."""

HIGHEST = 3.4028234663852886e38
"""The largest finite score: what is not forced stays below +inf, and what is seen above −inf."""


@kernel(
    examples=[
        {"dim": 128, "dtype": FP8, "block_size": 128, "pooling": "mean", "paged": True},
        {"dim": 64, "dtype": "bfloat16", "block_size": 16, "pooling": "max", "paged": False},
    ],
    options=OPTIONS,
)
def decode_pool(dim: int, dtype: str, block_size: int, pooling: str, paged: bool) -> Any:
    """Pools each sequence's blocks that its newest tokens lie in; a thread block a block.

    The mean adds along the tree of the reference: first half plus second half, again and again.

    Args:
        dim: D.
        dtype: Of keys.
        block_size: B, a power of two from 8 on.
        pooling: `"mean"` or `"max"`.
        paged: Whether keys lie in pages that a table names.
    """
    batch, n_pages, page_rows, stride, scale_stride = (
        T.dynamic(x) for x in ("batch", "n_pages", "page_rows", "stride", "scale_stride")
    )
    n_scales, scale_rows, table_rows, table_columns, n_blocks = (
        T.dynamic(x) for x in ("n_scales", "scale_rows", "table_rows", "table_columns", "n_blocks")
    )
    own = block_size // PARTS
    levels = own.bit_length() - 1
    absent = T.float32(0) if pooling == "mean" else -T.infinity("float32")

    def joined(left: Any, right: Any) -> Any:
        return left + right if pooling == "mean" else T.max(left, right)

    @T.prim_func
    def main(
        k: T.StridedTensor((n_pages, page_rows, dim), (stride, dim, 1), dtype),
        k_scale: T.StridedTensor((n_scales, scale_rows), (scale_stride, 1), "float32"),
        lengths: T.Tensor((batch,), "int32"),
        table: T.Tensor((table_rows, table_columns), "int32"),
        pooled: T.Tensor((batch, n_blocks, dim), "float32"),
        new_tokens: T.int32,
        turns: T.int32,
    ):
        with T.Kernel(turns, batch, threads=dim * PARTS) as (turn, row):
            thread = T.get_thread_binding()
            d = thread % dim
            part = thread // dim
            value = T.alloc_local((own,), "float32")
            sums = T.alloc_shared((PARTS, dim), "float32")
            places = T.alloc_local((own,), "int32")
            scales = T.alloc_local((own,), "float32")
            length = T.alloc_var("int32")
            first = T.alloc_var("int32")
            last = T.alloc_var("int32")
            length = lengths[row]
            first = (T.max(length - new_tokens, 0) // block_size + turn) * block_size
            # Every load is made, of the last token where there is none: branches would take them one by one.
            last = T.max(length - 1, 0)
            for j in T.unroll(own):
                places[j] = row
                if paged:
                    # An empty sequence has no page: its entries may name none.
                    places[j] = T.if_then_else(
                        length > 0, table[row, T.min(first + j * PARTS + part, last) // PAGE], 0
                    )
            for j in T.unroll(own):
                at = T.min(first + j * PARTS + part, last) % (PAGE if paged else NOWHERE)
                value[j] = T.cast(k[places[j], at, d], "float32")
                if dtype == FP8:
                    scales[j] = k_scale[places[j], at]
            for j in T.unroll(own):
                if dtype == FP8:
                    # Rounded before it is added, as the reference does.
                    value[j] = T.call_extern("float32", "__fmul_rn", value[j], scales[j])
                value[j] = T.if_then_else(first + j * PARTS + part < length, value[j], absent)
            for level in T.unroll(levels):
                for j in T.unroll(own // 2):
                    if j < (own >> (level + 1)):
                        value[j] = joined(value[j], value[j + (own >> (level + 1))])
            sums[part, d] = value[0]
            T.sync_threads()
            if part == 0 and first < length and first // block_size < n_blocks:
                value[0] = joined(joined(sums[0, d], sums[2, d]), joined(sums[1, d], sums[3, d]))
                if pooling == "mean":
                    pooled[row, first // block_size, d] = T.call_extern(
                        "float32",
                        "__fdiv_rn",
                        value[0],
                        T.cast(T.min(length - first, block_size), "float32"),
                    )
                else:
                    pooled[row, first // block_size, d] = value[0] + T.float32(0)

    return main


@kernel(
    examples=[
        {"heads": 64, "dim": 128, "dtype": FP8, "block_size": 128, "forced": 2},
        {"heads": 16, "dim": 64, "dtype": "bfloat16", "block_size": 16, "forced": 0},
    ],
    options=OPTIONS,
)
def decode_blocks(heads: int, dim: int, dtype: str, block_size: int, forced: int) -> Any:
    """Scores of each sequence's pooled keys, +inf for forced blocks, and how many blocks it has.

    A pooled key is the sum of three bf16 numbers, so that the tensor cores multiply all its bits.

    Args:
        heads: H, a multiple of 8.
        dim: D.
        dtype: Of queries.
        block_size: B.
        forced: Blocks that are forced: the first, the last, the second last.
    """
    batch, n_blocks = T.dynamic("batch"), T.dynamic("n_blocks")
    f32, bf16 = "float32", "bfloat16"

    def rest_of(x: Any) -> Any:
        return x - T.cast(T.cast(x, bf16), f32)

    @T.prim_func
    def main(
        q: T.Tensor((batch, heads, dim), dtype),
        pooled: T.Tensor((batch, n_blocks, dim), f32),
        weights: T.Tensor((batch, heads), f32),
        lengths: T.Tensor((batch,), "int32"),
        out: T.Tensor((batch, n_blocks), f32),
        counts: T.Tensor((batch,), "int32"),
    ):
        with T.Kernel(T.ceildiv(n_blocks, TILE), batch, threads=128) as (tile, row):
            lead()
            thread = T.get_thread_binding()
            q_tile = T.alloc_shared((heads, dim), bf16)
            gates = T.alloc_shared((heads,), f32)
            # Rows 32 bytes longer, so that the eight rows which a warp reads at a time lie in other banks.
            x_tile = T.alloc_shared((TILE, dim + 8), f32)
            summand = T.alloc_fragment((TILE, dim), bf16)
            acc = T.alloc_fragment((TILE, heads), f32)
            sums = T.alloc_fragment((TILE,), f32)
            count = T.alloc_var("int32")
            count = T.min(T.truncdiv(lengths[row] + block_size - 1, block_size), n_blocks)
            if tile == 0 and thread == 0:
                counts[row] = count
            if tile * TILE < count:
                for h, d in T.Parallel(heads, dim):
                    q_tile[h, d] = T.cast(q[row, h, d], bf16)
                for h in T.Parallel(heads):
                    gates[h] = weights[row, h]
                for i, d in T.Parallel(TILE, dim):
                    x_tile[i, d] = pooled[row, T.min(tile * TILE + i, n_blocks - 1), d]
                T.clear(acc)
                # Cut anew for each product: kept in registers, the rests would halve the blocks at work.
                for i, d in T.Parallel(TILE, dim):
                    summand[i, d] = T.cast(x_tile[i, d], bf16)
                T.gemm(summand, q_tile, acc, transpose_B=True)
                for i, d in T.Parallel(TILE, dim):
                    summand[i, d] = T.cast(rest_of(x_tile[i, d]), bf16)
                T.gemm(summand, q_tile, acc, transpose_B=True)
                for i, d in T.Parallel(TILE, dim):
                    summand[i, d] = T.cast(rest_of(rest_of(x_tile[i, d])), bf16)
                T.gemm(summand, q_tile, acc, transpose_B=True)
                for i, h in T.Parallel(TILE, heads):
                    acc[i, h] = T.max(acc[i, h], T.float32(0)) * gates[h]
                T.reduce_sum(acc, sums, dim=1)
                for i in T.Parallel(TILE):
                    block = tile * TILE + i
                    if block < count:
                        if (
                            (forced > 0 and block == 0)
                            or (forced > 1 and block == count - 1)
                            or (forced > 2 and block == count - 2)
                        ):
                            out[row, block] = T.infinity(f32)
                        else:
                            # fmaxf gives the other operand for NaN.
                            out[row, block] = T.min(
                                T.call_extern(f32, "fmaxf", sums[i], T.float32(-HIGHEST)), T.float32(HIGHEST)
                            )

    return main
