"""The TileLang program for blocks that a query sees in part: pool that part, then score it."""

from typing import Any

import tilelang
import tilelang.language as T

from hisa_kernels.tilelang.build import kernel
from hisa_kernels.tilelang.pool_keys_kernel import COLUMNS, keys_each, pool_one, sharers
from hisa_kernels.tilelang.score_parts import FP8, OPTIONS


@kernel(
    examples=[
        {"heads": 64, "dim": 128, "dtype": FP8, "scaled": True, "block_size": 128, "pooling": "mean"},
        {"heads": 4, "dim": 32, "dtype": "bfloat16", "scaled": False, "block_size": 16, "pooling": "max"},
    ],
    options={
        **OPTIONS,
        # Two buffers in one place would need a barrier between uses of the one and of the other.
        tilelang.PassConfigKey.TL_DISABLE_SHARED_MEMORY_REUSE: True,
    },
)
def partial_scores_rows(heads: int, dim: int, dtype: str, scaled: bool, block_size: int, pooling: str) -> Any:
    """Scores of partially visible blocks, one thread block a query.

    Args:
        heads: H.
        dim: D, 32, 64 or 128.
        dtype: Of queries and keys.
        scaled: Whether keys have scales.
        block_size: B.
        pooling: `"mean"` or `"max"`.
    """
    m, n, n_scales, n_blocks, stride = (T.dynamic(s) for s in ("m", "n", "n_scales", "n_blocks", "stride"))
    share = sharers(dim)
    threads = share * dim // COLUMNS
    warps = threads // 32

    @T.prim_func
    def main(
        q: T.Tensor((m, heads, dim), dtype),
        k: T.Tensor((n, dim), dtype),
        k_scale: T.Tensor((n_scales,), "float32"),
        weights: T.Tensor((m, heads), "float32"),
        starts: T.Tensor((m,), "int32"),
        ends: T.Tensor((m,), "int32"),
        out: T.StridedTensor((m, n_blocks), (stride, 1), "float32"),
    ):
        with T.Kernel(m, threads=threads) as row:
            thread = T.get_thread_binding()
            levels = T.alloc_shared((share, dim), "float32")
            sums = T.alloc_shared((warps,), "float32")
            pooled = T.alloc_local((keys_each(block_size, share) * COLUMNS,), "float32")
            query = T.alloc_local((COLUMNS,), dtype)
            first = T.alloc_var("int32")
            count = T.alloc_var("int32")
            dot = T.alloc_var("float32")
            total = T.alloc_var("float32")
            lane = thread // (dim // COLUMNS)
            column = thread % (dim // COLUMNS) * COLUMNS
            count = ends[row] - starts[row]
            first = T.max(count - 1, 0) // block_size
            count -= first * block_size
            if count > 0 and count < block_size:
                pool_one(
                    k,
                    k_scale,
                    starts[row] + first * block_size,
                    count,
                    levels,
                    pooled,
                    lane,
                    column,
                    block_size,
                    pooling,
                    scaled,
                )
                if lane == 0:
                    for j in T.unroll(COLUMNS):
                        if pooling == "mean":
                            pooled[j] = pooled[j] / T.cast(count, "float32")
                        levels[0, column + j] = pooled[j]
                T.sync_threads()
                total = T.float32(0)
                for i in T.unroll((heads + warps - 1) // warps):
                    if i * warps + thread // 32 < heads:
                        dot = T.float32(0)
                        if thread % 32 < dim // COLUMNS:
                            for j in T.vectorized(COLUMNS):
                                query[j] = q[row, i * warps + thread // 32, thread % 32 * COLUMNS + j]
                            for j in T.unroll(COLUMNS):
                                dot += T.cast(query[j], "float32") * levels[0, thread % 32 * COLUMNS + j]
                        for j in T.unroll(5):
                            dot += T.shfl_xor(dot, 1 << j)
                        total += T.max(dot, T.float32(0)) * weights[row, i * warps + thread // 32]
                if thread % 32 == 0:
                    sums[thread // 32] = total
                T.sync_threads()
                if thread == 0:
                    for i in T.unroll(warps - 1):
                        total += sums[i + 1]
                    out[row, first] = total

    return main
