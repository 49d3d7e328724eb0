"""What the scoring kernels share: operands in shared memory, the products, and the sums over heads.

Keys are the rows of a matrix product, (query, head) pairs its columns, so that a thread holds many heads of
the same key and the sum over heads needs but two exchanges between lanes.
"""

from dataclasses import dataclass
from typing import Any

import tilelang
import tilelang.language as T
from tilelang.layout import (
    make_full_bank_swizzled_layout,
    make_half_bank_swizzled_layout,
    make_quarter_bank_swizzled_layout,
)

OPTIONS = {
    # Barriers and roles are placed by hand.
    tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
    tilelang.PassConfigKey.TL_DISABLE_THREAD_STORAGE_SYNC: True,
    tilelang.PassConfigKey.TL_DISABLE_SAFE_MEMORY_ACCESS: True,
}

GROUP = 128
"""Threads of a warpgroup."""

GROUPS = 2
"""Warpgroups that multiply; one more loads."""

WORKERS = GROUP * GROUPS
"""Threads that multiply: the first of a block."""

OTHERS = GROUP - 32
"""Threads of the loading warpgroup that do not load."""

KEYS = 64
"""Keys of one warpgroup's product."""

TILE = KEYS * GROUPS
"""Keys of a tile."""

COLUMNS = 256
"""(Query, head) pairs of a block, in two accumulators of half of them each."""

HALF = COLUMNS // 2

FP8 = "float8_e4m3fn"


@dataclass(frozen=True)
class Operand:
    """How rows of `dim` elements lie in shared memory for the tensor cores.

    Attributes:
        dim: Elements of a row.
        dtype: `"float8_e4m3fn"`, `"bfloat16"` or `"float16"`.
    """

    dim: int
    dtype: str

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return 1 if self.dtype == FP8 else 2

    @property
    def row(self) -> int:
        """Bytes of a row of one panel."""
        return min(self.dim * self.size, 128)

    @property
    def width(self) -> int:
        """Elements of a row of one panel."""
        return self.row // self.size

    @property
    def panels(self) -> int:
        """Panels: rows longer than 128 bytes are cut."""
        return self.dim // self.width

    @property
    def swizzle(self) -> int:
        """The code of the swizzle in a matrix descriptor."""
        return {128: 1, 64: 2, 32: 3}[self.row]

    @property
    def step(self) -> int:
        """Elements that one instruction multiplies."""
        return 32 // self.size

    @property
    def short_name(self) -> str:
        """The element type as instructions name it."""
        return {FP8: "e4m3", "bfloat16": "bf16", "float16": "fp16"}[self.dtype]

    def layout(self, buffer: Any) -> Any:
        """The swizzle as the layout of a shared buffer."""
        make = {
            128: make_full_bank_swizzled_layout,
            64: make_half_bank_swizzled_layout,
            32: make_quarter_bank_swizzled_layout,
        }
        return make[self.row](buffer)

    def offset(self, i: Any, rows: int) -> Any:
        """Where the elements of the i-th instruction start in a tile of `rows` rows, in units of 16 bytes."""
        each = self.width // self.step
        return ((i // each) * (rows * self.row) + (i % each) * 32) >> 4


@dataclass(frozen=True)
class Shape:
    """What one thread block computes.

    Attributes:
        heads: H.
        operand: Queries and keys in shared memory.
        parts: Summands of a key; their products are added up.
    """

    heads: int
    operand: Operand
    parts: int = 1

    @property
    def queries(self) -> int:
        """Queries of the block."""
        return COLUMNS // self.heads

    @property
    def chunks(self) -> int:
        """Eights of columns that belong to one query."""
        return max(self.heads // 8, 1)

    @property
    def held(self) -> int:
        """Queries whose sums a lane is left with, in one accumulator."""
        return self.queries // 4

    def query(self, i: Any, lane: Any) -> Any:
        """The i-th query of a lane, within its accumulator."""
        upper = (lane & 2) // 2
        return upper * self.held + i if self.heads >= 8 else upper + 2 * i

    def key(self, thread: Any, lane: Any) -> Any:
        """The key of a lane within its tile: lanes of a quad end with the sums of keys 8 apart."""
        return thread // 32 % (TILE // 16) * 16 + lane // 4 + (lane & 1) * 8


@T.macro
def point_at(descriptor: Any, buffer: Any, operand: Any) -> None:
    """Makes `descriptor` that of the first rows of a shared buffer."""
    T.initialize_wgmma_descriptor(descriptor, buffer.access_ptr("r"), operand.swizzle, 1, operand.row // 2)


@T.macro
def multiply(acc: Any, keys: Any, stage: Any, queries: Any, shape: Any) -> None:
    """Starts the product of 64 keys and an accumulator's columns; does not wait for it.

    Args:
        acc: Accumulator.
        keys: Descriptor of the warpgroup's keys in stage 0.
        stage: Which stage.
        queries: Descriptor of the accumulator's queries.
        shape: See `Shape`.
    """
    operand = shape.operand
    steps = operand.dim // operand.step
    plane = operand.panels * TILE * operand.row >> 4
    T.warpgroup_fence_operand(acc, num_regs=HALF // 2)
    T.warpgroup_arrive()
    for i in T.unroll(shape.parts * steps):
        T.ptx_wgmma_ss(
            "float32",
            f"m64n{HALF}k{operand.step}",
            True,
            True,
            operand.short_name,
            operand.short_name,
            "fp32",
            keys.data,
            (stage * shape.parts + i // steps) * plane + operand.offset(i % steps, TILE),
            queries.data,
            operand.offset(i % steps, COLUMNS),
            acc.data,
            0,
            T.Select(i != 0, 1, 0),
            1,
            1,
        )
    T.warpgroup_commit_batch()


@T.macro
def load_queries(
    cols: Any, gates: Any, q_tile: Any, weights: Any, first: Any, column: Any, shape: Any, lane: Any
) -> None:
    """Points at an accumulator's queries and reads the weights of the thread's columns of it.

    Args:
        cols: Becomes the descriptor of the queries.
        gates: Becomes the weights, two for each 8 columns.
        q_tile: Queries of the block in shared memory.
        weights: All weights, flat.
        first: Place of the block's first weight.
        column: First column of the accumulator.
        shape: See `Shape`.
        lane: The thread's place in its warp.
    """
    operand = shape.operand
    at = T.alloc_var("int32")
    point_at(cols, q_tile, operand)
    T.increase_descriptor_offset(cols, column * operand.row)
    for i in T.unroll(HALF // 4):
        at = first + column + i // 2 * 8 + lane % 4 * 2 + i % 2
        gates[i] = T.float32(0)
        if at < weights.shape[0]:
            gates[i] = weights[at]


@T.macro
def head_sum(acc: Any, gates: Any, i: Any, value: T.Ref, shape: Any, lane: Any) -> None:
    """Rectifies, weighs and sums an accumulator over the heads, for one of the lane's queries and its key.

    A thread holds four results for each 8 columns: two neighbouring columns of two keys, 8 apart. The four
    lanes of a quad hold the columns of the same keys; each keeps the sums that are its own, and gives the
    others away.

    Args:
        acc: Accumulator.
        gates: Weights of the thread's columns, two for each 8.
        i: Which of the lane's queries.
        value: Becomes the sum.
        shape: See `Shape`.
        lane: The thread's place in its warp.
    """
    total = T.alloc_local((4,), "float32")
    even = T.alloc_var("float32")
    odd = T.alloc_var("float32")
    halves = 2 if shape.heads >= 8 else 1
    for half in T.unroll(halves):
        for r in T.unroll(2):
            even = T.float32(0)
            odd = T.float32(0)
            for j in T.unroll(shape.chunks):
                at = (half * shape.held + i) * shape.chunks + j
                even += T.max(acc[at * 4 + r * 2], T.float32(0)) * gates[at * 2]
                odd += T.max(acc[at * 4 + r * 2 + 1], T.float32(0)) * gates[at * 2 + 1]
            total[half * 2 + r] = even + odd
    if halves == 2:
        # The upper two lanes keep the second half of the queries, the lower two the first.
        for r in T.unroll(2):
            even = T.if_then_else(lane & 2 != 0, total[r], total[2 + r])
            odd = T.if_then_else(lane & 2 != 0, total[2 + r], total[r])
            total[r] = odd + T.shfl_xor(even, 2)
    # Odd lanes keep the second key, even ones the first.
    even = T.if_then_else(lane & 1 != 0, total[0], total[1])
    odd = T.if_then_else(lane & 1 != 0, total[1], total[0])
    value = odd + T.shfl_xor(even, 1)  # noqa: F841 (a reference: the caller's variable)
