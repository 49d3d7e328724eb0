"""Candidate scores, query-major: every thread block gathers the candidates of one query, for any block size.

Each query reads all its keys anew; for the few rows of a decode step nothing better is to be had.
"""

from typing import Any

import tilelang
import tilelang.language as T

from hisa_kernels.tilelang.build import kernel

OPTIONS = {tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True}

TILE = 128
"""Candidates that are scored together."""


@kernel(
    examples=[
        {"heads": 64, "dim": 128, "block_size": 128, "dtype": "float8_e4m3fn", "scaled": True},
        {"heads": 8, "dim": 64, "block_size": 16, "dtype": "bfloat16", "scaled": False},
    ],
    options=OPTIONS,
)
def candidate_rows(heads: int, dim: int, block_size: int, dtype: str, scaled: bool) -> Any:
    """Scores of the tokens of each query's chosen blocks.

    Args:
        heads: H, at least 8.
        dim: D.
        block_size: B.
        dtype: Of queries and keys.
        scaled: Whether keys have a scale.
    """
    m, n, scales, w = (T.dynamic(x) for x in ("m", "n", "scales", "w"))
    f32 = "float32"

    @T.prim_func
    def candidate_rows_kernel(
        q: T.Tensor((m, heads, dim), dtype),
        k: T.Tensor((n, dim), dtype),
        weights: T.Tensor((m, heads), f32),
        k_scale: T.Tensor((scales,), f32),
        starts: T.Tensor((m,), "int32"),
        ends: T.Tensor((m,), "int32"),
        blocks: T.Tensor((m, w), "int32"),
        out: T.Tensor((m, w * block_size), f32),
        share: T.int32,
    ):
        with T.Kernel(T.ceildiv(w * block_size, share * TILE), m, threads=128) as (part, row):
            q_tile = T.alloc_shared((heads, dim), dtype)
            gates = T.alloc_shared((heads,), f32)
            k_tile = T.alloc_shared((TILE, dim), dtype)
            acc = T.alloc_fragment((TILE, heads), f32)
            gated = T.alloc_fragment((TILE, heads), f32)
            sums = T.alloc_fragment((TILE,), f32)
            T.copy(q[row, :, :], q_tile)
            T.copy(weights[row, :], gates)
            first = starts[row]
            end = ends[row]
            columns = w * block_size
            for turn in T.serial(T.min(share, T.ceildiv(columns, TILE) - part * share)):
                column = (part * share + turn) * TILE
                for i, d in T.Parallel(TILE, dim):
                    k_tile[i, d] = k[
                        T.max(
                            0,
                            T.min(
                                first
                                + blocks[row, T.min(column + i, columns - 1) // block_size] * block_size
                                + (column + i) % block_size,
                                n - 1,
                            ),
                        ),
                        d,
                    ]
                T.gemm(
                    k_tile, q_tile, acc, transpose_B=True, clear_accum=True, policy=T.GemmWarpPolicy.FullRow
                )
                for i, h in T.Parallel(TILE, heads):
                    gated[i, h] = T.max(acc[i, h], T.float32(0)) * gates[h]
                T.reduce_sum(gated, sums, dim=1)
                for i in T.Parallel(TILE):
                    if column + i < columns:
                        block = blocks[row, (column + i) // block_size]
                        place = first + block * block_size + (column + i) % block_size
                        if block >= 0 and place < end:
                            out[row, column + i] = sums[i] * (k_scale[place] if scaled else T.float32(1))
                        else:
                            out[row, column + i] = -T.infinity(f32)

    return candidate_rows_kernel
