"""Top-k of long rows: guess a lower bound from a sample, keep what reaches it, select among what was kept.

The row is read once. The guess never decides what is chosen: where fewer than k scores reach it, or more than
the buffer holds, the row is read again piece by piece, and the buffer is cut back to the best k after each.
"""

from typing import Any

import tilelang.language as T

from hisa_kernels.tilelang.build import kernel
from hisa_kernels.tilelang.chain import follow
from hisa_kernels.tilelang.topk_parts import (
    BINS,
    HIGHEST_KEY,
    LOWEST_KEY,
    OPTIONS,
    as_i32,
    as_u32,
    find_bucket,
    key_of,
    load_group,
    scan_block,
    scan_warp,
    score_of,
    set_bit,
    take_places,
    u32,
)

VALUES = 16
TILE = 32 * VALUES
"""Columns that a warp looks at together."""

LAST_COLUMN = (1 << 22) - 1
"""Columns are numbers of 22 bits at most."""

WINDOW = 32 * BINS
"""Columns whose choice is put in order at a time: a bit for each, in the memory of the buckets."""

BUFFER = {2048: 6144, 4096: 10240}
"""Kept scores by the largest k."""

THREADS = 512
RESIDENT = {2048: 3, 4096: 2}
"""Thread blocks of one multiprocessor by the largest k: as many as its shared memory holds."""

SAMPLES = 8
"""Sampled scores a thread, more for rows of more than `LONG` columns."""
LONG = 1 << 18

COARSE, FINE = 21, 13
"""Low bits of a key that the first round of a selection leaves open: for keys anywhere, and for keys not far
above a guess."""


@T.macro
def guess(
    scores: Any,
    row: Any,
    base: Any,
    start: Any,
    end: Any,
    need: Any,
    lowest: T.Ref,
    bins: Any,
    sums: Any,
    found: Any,
    threads: int,
    vector: int,
    thread: Any,
) -> None:
    """Guesses a key, `lowest`, that somewhat more than `need` scores of a row reach.

    Sampled are sectors of eight columns, evenly spread. Barriers before are the caller's.
    """
    loaded = T.alloc_local((SAMPLES,), "float32")
    key = T.alloc_local((SAMPLES,), "uint32")
    batch = T.alloc_var("int32")
    batches = T.alloc_var("int32")
    sector = T.alloc_var("int32")
    rank = T.alloc_var("int32")
    round_ = T.alloc_var("int32")
    expected = T.alloc_var("float32")
    batches = 1
    if end - start > LONG:
        batches = 2
    if end - start > 2 * LONG:
        batches = 4
    expected = T.cast(need, "float32") * T.cast(batches * SAMPLES * threads, "float32")
    expected = expected / T.cast(end - start, "float32")
    rank = T.cast(T.float32(1.1) * expected + T.float32(5) * T.sqrt(expected), "int32") + 4
    lowest = u32(0)
    round_ = 0
    while round_ < 2:
        batch = 0
        while batch < batches:
            if round_ == 0 or batches > 1:
                for i in T.unroll(SAMPLES // 4):
                    # Unsigned, so that a division by a power of two is a shift.
                    sector = (batch * (SAMPLES // 4) + i) * (threads // 2) + thread // 2
                    sector = as_i32(
                        as_u32(sector * ((end - base) // 8)) // as_u32(batches * (SAMPLES // 8 * threads))
                    )
                    load_group(
                        scores, row, base + sector * 8 + thread % 2 * 4, start, end, loaded, 4 * i, vector
                    )
                for i in T.unroll(SAMPLES):
                    key[i] = key_of(loaded[i])
            if round_ == 0:
                for i in T.unroll(SAMPLES):
                    T.atomic_add(bins[as_i32(key[i] >> u32(21))], 1)
            else:
                for i in T.unroll(SAMPLES):
                    if key[i] >> u32(21) == lowest >> u32(21):
                        T.atomic_add(bins[as_i32((key[i] >> u32(10)) & u32(2047))], 1)
            batch += 1
        T.sync_threads()
        find_bucket(bins, sums, found, rank, threads, thread)
        lowest = lowest | (as_u32(found[0]) << T.if_then_else(round_ == 0, u32(21), u32(10)))
        rank -= found[1]
        round_ += 1
        if lowest < u32(LOWEST_KEY):
            lowest = u32(LOWEST_KEY)
            round_ = 2


@T.macro
def select(
    keys: Any,
    cols: Any,
    n: Any,
    lowest: T.Ref,
    lowest_col: T.Ref,
    need: Any,
    bins: Any,
    sums: Any,
    found: Any,
    threads: int,
    thread: Any,
) -> None:
    """Settles which are the best `need` of more than `need` kept keys; a barrier before is the caller's.

    Args:
        keys: Shared keys.
        cols: Shared columns of them, distinct.
        n: How many there are.
        lowest: No kept key is lower; becomes the key above which all are chosen, and below which none.
        lowest_col: Becomes the reversed column from which on those of key `lowest` are chosen.
        need: How many are chosen.
        bins: Shared counts, all 0 before and after.
        sums: Shared memory for a number a warp.
        found: Shared memory for three numbers.
        threads: Threads of the block.
        thread: This thread's number.
    """
    span = T.alloc_var("uint32")
    digit = T.alloc_var("uint32")
    distance = T.alloc_var("uint32")
    at = T.alloc_var("int32")
    left = T.alloc_var("int32")
    by_column = T.alloc_var("int32")
    left = need
    lowest_col = u32(0)
    by_column = 0
    digit = u32(FINE)
    if lowest == u32(LOWEST_KEY):
        digit = u32(COARSE)
    # What is in question is less than `span` above the lower bound.
    span = u32(HIGHEST_KEY + 1) - lowest
    while span > u32(0):
        at = thread
        while at < n:
            distance = keys[at] - lowest
            if by_column == 1:
                distance = T.if_then_else(
                    distance == u32(0), as_u32(LAST_COLUMN - cols[at]) - lowest_col, u32(0xFFFFFFFF)
                )
            if distance < span:
                T.atomic_add(bins[as_i32(T.min(distance >> digit, u32(BINS - 1)))], 1)
            at += threads
        T.sync_threads()
        find_bucket(bins, sums, found, left, threads, thread)
        if by_column == 0:
            lowest += as_u32(found[0]) << digit
        else:
            lowest_col += as_u32(found[0]) << digit
        left -= found[1]
        if found[2] == left:
            span = u32(0)
        elif digit == u32(FINE) and found[0] == BINS - 1:
            # The last bucket holds all that lies further up.
            digit = u32(COARSE)
            span = u32(HIGHEST_KEY + 1) - lowest
        elif digit == u32(0):
            # Only keys equal to `lowest` are left: the first columns win.
            by_column = 1
            digit = u32(11)
            span = u32(0xFFFFFFFF)
        else:
            span = u32(1) << digit
            digit = T.if_then_else(digit > u32(11), digit - u32(11), u32(0))


def is_chosen(key: Any, col: Any, lowest: Any, lowest_col: Any) -> Any:
    """Whether `select` chose a kept key."""
    return T.if_then_else(key == lowest, as_u32(LAST_COLUMN - col) >= lowest_col, key > lowest)


@T.macro
def keep_tile(
    scores: Any,
    row: Any,
    first: Any,
    start: Any,
    end: Any,
    limit: Any,
    keys: Any,
    cols: Any,
    counter: Any,
    capacity: int,
    vector: int,
    lane: Any,
) -> None:
    """One warp appends what reaches `limit` of the `TILE` columns from `first` on to the buffer.

    Where the buffer is too full nothing is written, but `counter` grows all the same.
    """
    score = T.alloc_local((VALUES,), "float32")
    mask = T.alloc_var("uint32")
    place = T.alloc_var("int32")
    until = T.alloc_var("int32")
    col = T.alloc_var("int32")
    at = first + lane * 4
    if first >= start and first + TILE <= end and vector == 4:
        for i in T.unroll(VALUES // 4):
            for j in T.vectorized(4):
                score[4 * i + j] = scores[row, at // 4 + i * 32, j % vector]
    else:
        for i in T.unroll(VALUES // 4):
            load_group(scores, row, at + i * 128, start, end, score, 4 * i, vector)
    mask = u32(0)
    for i in T.unroll(VALUES):
        if score[i] >= limit:
            mask = mask | u32(1 << i)
    if T.any_sync(as_i32(mask)) != 0:
        col = as_i32(T.popcount(mask))
        place = col
        scan_warp(place, lane)
        until = T.shfl_sync(place, 31)
        place -= col
        col = 0
        if lane == 0:
            col = take_places(counter[0], until)
        col = T.shfl_sync(col, 0)
        if col + until <= capacity:
            place += col
            until += col
            col += lane
            # First each lane lists its columns, then the warp shares out the list: about one a lane.
            while mask != u32(0):
                cols[place] = at + (T.__ffs(as_i32(mask)) - 1) // 4 * 128 + (T.__ffs(as_i32(mask)) - 1) % 4
                mask = mask & (mask - u32(1))
                place += 1
            T.sync_warp()
            while col < until:
                keys[col] = key_of(scores[row, cols[col] // vector, cols[col] % vector])
                col += 32


@kernel(
    examples=[
        {"vector": 4, "most": 2048, "block_size": 0},
        {"vector": 1, "most": 4096, "block_size": 128},
        {"vector": 4, "most": 2048, "block_size": 0, "chained": True},
    ],
    options=OPTIONS,
)
def topk_long(vector: int, most: int, block_size: int, chained: bool = False) -> Any:
    """Rows of any length up to `LAST_COLUMN`, one thread block a row.

    Args:
        vector: 4 where rows start at 16-byte boundaries, else 1.
        most: Largest k, a key of `BUFFER`.
        block_size: B where columns are the tokens of chosen blocks, 0 where they are what is wanted.
        chained: See `hisa_kernels.tilelang.chain`.
    """
    m, groups, n_blocks = T.dynamic("m"), T.dynamic("groups"), T.dynamic("n_blocks")
    m_bounds, m_wanted, m_blocks, topk = (T.dynamic(n) for n in ("m_bounds", "m_wanted", "m_blocks", "topk"))
    warps = THREADS // 32
    capacity = BUFFER[most]
    piece = min(warps, (capacity - most) // TILE)
    words = BINS // THREADS

    @T.prim_func
    def main(
        scores: T.Tensor((m, groups, vector), "float32"),
        starts: T.Tensor((m_bounds,), "int32"),
        ends: T.Tensor((m_bounds,), "int32"),
        wanted: T.Tensor((m_wanted,), "int32"),
        blocks: T.Tensor((m_blocks, n_blocks), "int32"),
        out: T.Tensor((m, topk), "int32"),
        columns: T.int32,
        limited: T.int32,
        shift: T.int32,
    ):
        with T.Kernel(m, threads=THREADS) as row:
            T.annotate_min_blocks_per_sm(RESIDENT[most])
            thread = T.get_thread_binding()
            lane = thread % 32
            keys = T.alloc_shared((capacity,), "uint32")
            cols = T.alloc_shared((capacity,), "int32")
            stage = T.alloc_shared((most,), "int32")
            bins = T.alloc_shared((BINS,), "int32")
            sums = T.alloc_shared((warps,), "int32")
            found = T.alloc_shared((4,), "int32")
            counter = T.alloc_shared((4,), "int32")
            start = T.alloc_var("int32")
            end = T.alloc_var("int32")
            base = T.alloc_var("int32")
            origin = T.alloc_var("int32")
            need = T.alloc_var("int32")
            n = T.alloc_var("int32")
            at = T.alloc_var("int32")
            tile = T.alloc_var("int32")
            lowest = T.alloc_var("uint32")
            lowest_col = T.alloc_var("uint32")
            limit = T.alloc_var("float32")
            kept = T.alloc_var("uint32")
            place = T.alloc_var("int32")
            chosen = T.alloc_var("int32")
            word = T.alloc_local((words,), "int32")

            for i in T.unroll(BINS // THREADS):
                bins[i * THREADS + thread] = 0
            if thread == 0:
                counter[0] = 0
            follow(chained)
            origin = shift
            if block_size > 0:
                start = 0
                end = columns
                origin = starts[row]
            else:
                start = starts[row]
                end = ends[row]
            need = topk
            if limited == 1:
                need = T.max(0, T.min(topk, wanted[row]))
            if need == 0 or end <= start:
                start = 0
                end = 0
            base = (start // 32) * 32
            T.sync_threads()

            lowest = u32(LOWEST_KEY)
            if end - start > capacity:
                guess(
                    scores,
                    row,
                    base,
                    start,
                    end,
                    need,
                    lowest,
                    bins,
                    sums,
                    found,
                    THREADS,
                    vector,
                    thread,
                )
            limit = score_of(lowest)
            tile = thread // 32
            while base + tile * TILE < end:
                keep_tile(
                    scores,
                    row,
                    base + tile * TILE,
                    start,
                    end,
                    limit,
                    keys,
                    cols,
                    counter,
                    capacity,
                    vector,
                    lane,
                )
                tile += warps
            T.sync_threads()
            n = counter[0]
            if n > capacity or (n < need and lowest > u32(LOWEST_KEY)):
                # The guess was bad: piece by piece.
                if n < need:
                    lowest = u32(LOWEST_KEY)
                limit = score_of(lowest)
                n = 0
                tile = thread // 32
                while base + (tile - thread // 32) * TILE < end:
                    T.sync_threads()
                    if thread == 0:
                        counter[0] = n
                        counter[1] = 0
                    T.sync_threads()
                    if thread // 32 < piece:
                        keep_tile(
                            scores,
                            row,
                            base + tile * TILE,
                            start,
                            end,
                            limit,
                            keys,
                            cols,
                            counter,
                            capacity,
                            vector,
                            lane,
                        )
                    T.sync_threads()
                    n = counter[0]
                    if n > need:
                        select(keys, cols, n, lowest, lowest_col, need, bins, sums, found, THREADS, thread)
                        at = thread
                        while at - thread < n:
                            kept = u32(0)
                            place = 0
                            chosen = 0
                            if at < n:
                                kept = keys[at]
                                place = cols[at]
                                if is_chosen(kept, place, lowest, lowest_col):
                                    chosen = 1
                            T.sync_threads()
                            if chosen == 1:
                                chosen = take_places(counter[1], 1)
                                keys[chosen] = kept
                                cols[chosen] = place
                            T.sync_threads()
                            at += THREADS
                        n = need
                        # From here on a score must beat `lowest`: ties go to the columns already there.
                        limit = score_of(lowest + u32(1))
                    else:
                        n = counter[0]
                    tile += piece
                T.sync_threads()

            if n > need:
                select(keys, cols, n, lowest, lowest_col, need, bins, sums, found, THREADS, thread)
            else:
                lowest = u32(0)

            # In order: a bit for each column of a window, then each thread counts and lists its own words.
            chosen = 0
            while base < end:
                at = thread
                while at < n:
                    place = cols[at] - base
                    inside = place >= 0 and place < WINDOW
                    if inside and is_chosen(keys[at], cols[at], lowest, lowest_col):
                        set_bit(bins[place // 32], place % 32)
                    at += THREADS
                T.sync_threads()
                for i in T.vectorized(words):
                    word[i] = bins[thread * words + i]
                for i in T.vectorized(words):
                    bins[thread * words + i] = 0
                place = 0
                for i in T.unroll(words):
                    place += as_i32(T.popcount(as_u32(word[i])))
                scan_block(place, tile, sums, warps, thread)
                place += chosen
                chosen += tile
                for i in T.unroll(words):
                    while word[i] != 0:
                        stage[place] = base + (thread * words + i) * 32 + T.__ffs(word[i]) - 1
                        word[i] = word[i] & (word[i] - 1)
                        place += 1
                base += WINDOW
                T.sync_threads()
            at = thread
            while at < topk:
                place = -1
                if at < chosen:
                    place = stage[at]
                    if block_size > 0:
                        place = blocks[row, place // block_size] * block_size + place % block_size
                    place += origin
                out[row, at] = place
                at += THREADS

    return main
