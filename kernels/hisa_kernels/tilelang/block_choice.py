"""Small kernels around the choice of blocks: counts a row, forced blocks on top, tokens of blocks."""

from typing import Any

import tilelang
import tilelang.language as T

from hisa_kernels.tilelang.build import kernel

OPTIONS = {
    tilelang.PassConfigKey.TL_DISABLE_THREAD_STORAGE_SYNC: True,
    tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
}

THREADS = 256


@kernel(examples=[{"block_size": 128}], options=OPTIONS)
def count_blocks(block_size: int) -> Any:
    """Writes how many blocks each row sees, zeros for each row, and zeros to `cleared`."""
    m, c = T.dynamic("m"), T.dynamic("c")

    @T.prim_func
    def count_blocks_kernel(
        starts: T.Tensor((m,), "int32"),
        ends: T.Tensor((m,), "int32"),
        n_blocks: T.Tensor((m,), "int32"),
        zeros: T.Tensor((m,), "int32"),
        cleared: T.Tensor((c,), "int32"),
    ):
        with T.Kernel(T.ceildiv(T.max(m, c), THREADS), threads=THREADS) as part:
            i = part * THREADS + T.get_thread_binding()
            if i < m:
                n_blocks[i] = T.ceildiv(ends[i] - starts[i], block_size)
                zeros[i] = 0
            if i < c:
                cleared[i] = 0

    return count_blocks_kernel


@kernel(examples=[{"kinds": 2}], options=OPTIONS)
def add_forced(kinds: int) -> Any:
    """Adds the first `kinds` of a row's first, last and second last block to its chosen ones, in order."""
    m, w, wide = T.dynamic("m"), T.dynamic("w"), T.dynamic("wide")

    @T.prim_func
    def add_forced_kernel(
        chosen: T.Tensor((m, w), "int32"),
        n_blocks: T.Tensor((m,), "int32"),
        out: T.Tensor((m, wide), "int32"),
    ):
        with T.Kernel(m, threads=32) as row:
            lane = T.get_thread_binding()
            seen = n_blocks[row]
            # The forced blocks that exist, ascending: where two kinds name one block, or none, a kind is -1.
            first = T.if_then_else(seen > 0, 0, -1)
            second = T.if_then_else(seen > 2 and kinds > 2, seen - 2, -1)
            last = T.if_then_else(seen > 1 and kinds > 1, seen - 1, -1)
            has_first = T.alloc_var("int32", init=0)
            has_second = T.alloc_var("int32", init=0)
            has_last = T.alloc_var("int32", init=0)
            length = T.alloc_var("int32", init=0)
            for i in T.serial(T.ceildiv(w, 32)):
                slot = i * 32 + lane
                block = T.alloc_var("int32", init=-1)
                if slot < w:
                    block = chosen[row, slot]
                if block >= 0:
                    length += 1
                    if block == first:
                        has_first = 1
                    if block == second:
                        has_second = 1
                    if block == last:
                        has_last = 1
            for step in T.unroll(5):
                length += T.shfl_xor(length, 1 << step)
                has_first |= T.shfl_xor(has_first, 1 << step)
                has_second |= T.shfl_xor(has_second, 1 << step)
                has_last |= T.shfl_xor(has_last, 1 << step)
            new_first = T.if_then_else(first >= 0 and has_first == 0, 1, 0)
            new_second = T.if_then_else(second >= 0 and has_second == 0, 1, 0)
            new_last = T.if_then_else(last >= 0 and has_last == 0, 1, 0)
            # A chosen block beyond the second last one is the last one.
            behind = T.if_then_else(has_last == 1, 1, 0)
            for i in T.serial(T.ceildiv(w, 32)):
                slot = i * 32 + lane
                if slot < w:
                    block = chosen[row, slot]
                    if block >= 0:
                        out[row, slot + new_first + T.if_then_else(block > second, new_second, 0)] = block
            if lane == 0:
                if new_first == 1:
                    out[row, 0] = first
                if new_second == 1:
                    out[row, length - behind + new_first] = second
                if new_last == 1:
                    out[row, length + new_first + new_second] = last
            filled = length + new_first + new_second + new_last
            for i in T.serial(T.ceildiv(wide - filled, 32)):
                if filled + i * 32 + lane < wide:
                    out[row, filled + i * 32 + lane] = -1

    return add_forced_kernel


@kernel(examples=[{"block_size": 128}], options=OPTIONS)
def spread_tokens(block_size: int) -> Any:
    """Writes the visible tokens of each row's blocks, −1 in place of the others."""
    m, w = T.dynamic("m"), T.dynamic("w")

    @T.prim_func
    def spread_tokens_kernel(
        blocks: T.Tensor((m, w), "int32"),
        starts: T.Tensor((m,), "int32"),
        ends: T.Tensor((m,), "int32"),
        out: T.Tensor((m, w * block_size), "int32"),
    ):
        with T.Kernel(m, threads=THREADS) as row:
            first = starts[row]
            end = ends[row]
            for i in T.serial(T.ceildiv(w * block_size, THREADS)):
                column = i * THREADS + T.get_thread_binding()
                if column < w * block_size:
                    block = blocks[row, column // block_size]
                    token = first + block * block_size + column % block_size
                    out[row, column] = T.if_then_else(block >= 0 and token < end, token, -1)

    return spread_tokens_kernel
