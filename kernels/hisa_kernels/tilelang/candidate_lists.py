"""The list that the block-major candidate kernel walks: (query, slot) pairs sorted by the block they name.

A counting sort in three small launches without a word to the host: count the pairs of every block, turn
the counts into places, put the pairs there. Rows are taken in bands, so that the queries that are read at
one time fit the cache. Each block's part of the list is a multiple of `group` long, since that many pairs
are scored together; what is missing is filled with entries that name no pair.
"""

from typing import Any

import tilelang
import tilelang.language as T

from hisa_kernels.tilelang.build import kernel

OPTIONS = {
    tilelang.PassConfigKey.TL_DISABLE_THREAD_STORAGE_SYNC: True,
    tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
}

SCAN_THREADS = 1024
SLOTS = 64
SLACK = 64
"""Entries behind the list that the scoring kernel may read, never use."""
WARP = 32


@kernel(examples=[{"block_size": 128, "packed": True}], options=OPTIONS)
def count_pairs(block_size: int, packed: bool) -> Any:
    """Counts the pairs of each band and bucket; `rank` becomes each pair's number among its bucket's.

    A bucket is one block of one sequence: (first key) / B, plus the sequence's number, for the last block of
    a sequence and the first of the next may begin within B keys of each other.
    """
    m, w, bands, buckets = (T.dynamic(x) for x in ("m", "w", "bands", "buckets"))

    @T.prim_func
    def count_pairs_kernel(
        blocks: T.Tensor((m, w), "int32"),
        starts: T.Tensor((m,), "int32"),
        sequence: T.Tensor((m,), "int32"),
        counts: T.Tensor((bands, buckets), "int32"),
        rank: T.Tensor((m, w), "int32"),
        band_bits: T.int32,
    ):
        with T.Kernel(m, T.ceildiv(w, SLOTS), threads=SLOTS) as (row, part):
            slot = part * SLOTS + T.get_thread_binding()
            if slot < w:
                block = blocks[row, slot]
                if block >= 0:
                    bucket = starts[row] // block_size + block + (sequence[row] if packed else 0)
                    rank[row, slot] = T.atomic_add(counts[row >> band_bits, bucket], 1, return_prev=True)

    return count_pairs_kernel


@kernel(examples=[{"group": 2}], options=OPTIONS)
def place_pairs(group: int) -> Any:
    """Turns counts into first places, in order of band and bucket; fills each bucket up to whole tiles."""
    total, room = T.dynamic("total"), T.dynamic("room")

    @T.prim_func
    def place_pairs_kernel(
        counts: T.Tensor((total,), "int32"),
        pairs: T.Tensor((room, 4), "int32"),
        tiles: T.Tensor((1,), "int32"),
    ):
        with T.Kernel(1, threads=SCAN_THREADS):
            thread = T.get_thread_binding()
            lane = thread % WARP
            sums = T.alloc_shared((SCAN_THREADS // WARP,), "int32")
            each = T.ceildiv(total, SCAN_THREADS)
            own = T.alloc_var("int32", init=0)
            for i in T.serial(T.max(0, T.min(each, total - thread * each))):
                own += T.ceildiv(counts[thread * each + i], group) * group
            before = T.alloc_var("int32")
            before = own
            for step in T.unroll(5):
                other = T.shfl_up(before, 1 << step)
                if lane >= (1 << step):
                    before += other
            if lane == WARP - 1:
                sums[thread // WARP] = before
            T.sync_threads()
            base = T.alloc_var("int32", init=0)
            for i in T.serial(thread // WARP):
                base += sums[i]
            before += base
            if thread == SCAN_THREADS - 1:
                tiles[0] = before // group
            before -= own
            for i in T.serial(T.max(0, T.min(each, total - thread * each))):
                count = T.alloc_var("int32")
                count = counts[thread * each + i]
                counts[thread * each + i] = before
                before += count
                for _ in T.serial(T.ceildiv(count, group) * group - count):
                    pairs[before, 0] = 0
                    pairs[before, 1] = -1
                    pairs[before, 2] = 0
                    pairs[before, 3] = 0
                    before += 1

    return place_pairs_kernel


@kernel(examples=[{"block_size": 128, "packed": True}], options=OPTIONS)
def write_pairs(block_size: int, packed: bool) -> Any:
    """Writes every pair to its place in the list, and −inf to the scores of empty slots."""
    m, w, bands, buckets, room = (T.dynamic(x) for x in ("m", "w", "bands", "buckets", "room"))

    @T.prim_func
    def write_pairs_kernel(
        blocks: T.Tensor((m, w), "int32"),
        starts: T.Tensor((m,), "int32"),
        ends: T.Tensor((m,), "int32"),
        sequence: T.Tensor((m,), "int32"),
        places: T.Tensor((bands, buckets), "int32"),
        rank: T.Tensor((m, w), "int32"),
        pairs: T.Tensor((room, 4), "int32"),
        out: T.Tensor((m, w * block_size), "float32"),
        band_bits: T.int32,
    ):
        with T.Kernel(m, T.ceildiv(w, SLOTS), threads=SLOTS) as (row, part):
            thread = T.get_thread_binding()
            entry = T.alloc_local((4,), "int32")
            empty = T.alloc_var("int32", init=0)
            slot = part * SLOTS + thread
            if slot < w:
                block = blocks[row, slot]
                if block >= 0:
                    key = starts[row] + block * block_size
                    bucket = starts[row] // block_size + block + (sequence[row] if packed else 0)
                    at = places[row >> band_bits, bucket] + rank[row, slot]
                    entry[0] = row
                    entry[1] = row * w + slot
                    entry[2] = ends[row] - key
                    entry[3] = key
                    for v in T.vectorized(4):
                        pairs[at, v] = entry[v]
                else:
                    empty = 1
            if T.syncthreads_or(empty) != 0:
                for i in T.serial(block_size):
                    column = (part * block_size + i) * SLOTS + thread
                    if column < w * block_size and blocks[row, column // block_size] < 0:
                        out[row, column] = -T.infinity("float32")

    return write_pairs_kernel
