"""`python -m benchmarks.smallest`: every kernel once, on shapes that a memory checker gets through.

For NVIDIA's compute-sanitizer, which slows kernels a hundredfold:

    compute-sanitizer --tool memcheck --error-exitcode 1 python -m benchmarks.smallest
    compute-sanitizer --tool racecheck --error-exitcode 1 python -m benchmarks.smallest
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

import hisa_kernels
from hisa_kernels.decode import FlatDecoder, HisaDecoder, SequenceKeys, paged
from hisa_kernels.decode_keys import DecodeKeys

FP8, BF16 = torch.float8_e4m3fn, torch.bfloat16
BACKEND = "tilelang"

Job = tuple[str, Callable[[], object]]
"""What is run, and how."""


class Scoring(NamedTuple):
    """Inputs of the scoring operators: two sequences packed into one batch."""

    q: Tensor
    k: Tensor
    weights: Tensor
    starts: Tensor
    ends: Tensor


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal random numbers on the GPU."""
    return torch.randn(shape, device="cuda").to(dtype)


def scoring(heads: int, dim: int, dtype: torch.dtype, rows: int, n_keys: int) -> Scoring:
    """`rows` queries at the end of each of two sequences of `n_keys` keys."""
    places = torch.arange(n_keys - rows + 1, n_keys + 1, dtype=torch.int32, device="cuda")
    return Scoring(
        draw(2 * rows, heads, dim, dtype=dtype),
        draw(2 * n_keys, dim, dtype=dtype),
        draw(2 * rows, heads),
        torch.tensor([0] * rows + [n_keys] * rows, dtype=torch.int32, device="cuda"),
        torch.cat((places, places + n_keys)),
    )


def selections() -> Iterator[Job]:
    """Prefill: scores, pooling, blocks, candidates, whole pipelines."""
    for heads, dim, dtype, size in ((64, 128, FP8, 128), (4, 64, BF16, 64)):
        given = scoring(heads, dim, dtype, rows=33, n_keys=1000)
        kind: dict[str, Any] = {
            "k_scale": torch.rand(len(given.k), device="cuda") + 0.5 if dtype == FP8 else None,
            "backend": BACKEND,
        }
        blocks: dict[str, Any] = {"block_size": size, "num_blocks": 4}
        for operator, more in (
            (hisa_kernels.index_scores, {}),
            (hisa_kernels.block_scores, {"block_size": size}),
            (hisa_kernels.select_blocks, {**blocks, "forced": "none"}),
            (hisa_kernels.select_flat, {"topk": 200}),
            (hisa_kernels.select_hisa, {**blocks, "topk": 200}),
            (hisa_kernels.select_hisa, {**blocks, "topk": 200, "pooling": "max", "forced": "first_last2"}),
            (hisa_kernels.select_block_sparse, blocks),
        ):
            yield f"{operator.__name__} {heads}x{dim} {dtype}", partial(operator, *given, **more, **kind)


def top_k() -> Iterator[Job]:
    """The three kernels of top-k, on different numbers and on ties."""
    for columns, k in ((100, 16), (3000, 512), (40000, 2048)):
        starts = torch.zeros(5, dtype=torch.int32, device="cuda")
        ends = starts + columns - torch.arange(5, dtype=torch.int32, device="cuda")
        for scores in (draw(5, columns), torch.zeros(5, columns, device="cuda")):
            run = partial(hisa_kernels.topk_indices, scores, starts, ends, k, backend=BACKEND)
            yield f"topk_indices {k} of {columns}", run


def attention() -> Iterator[Job]:
    """Sparse MLA, narrow and wide."""
    for heads, dim, value in ((8, 128, 96), (20, 576, 512)):
        q, kv = draw(7, heads, dim, dtype=BF16), draw(300, dim, dtype=BF16)
        chosen = torch.randint(-20, 300, (7, 130), dtype=torch.int32, device="cuda")
        options: dict[str, Any] = {"scale": 0.1, "value_dim": value, "backend": BACKEND}
        yield f"sparse_mla {dim}", partial(hisa_kernels.sparse_mla, q, kv, chosen, **options)


def decoding() -> Iterator[Job]:
    """One step of three sequences, keys in a matrix and in pages."""
    batch, room, heads, dim = 3, 640, 64, 128
    k, scale = draw(batch, room, dim, dtype=FP8), torch.rand(batch, room, device="cuda") + 0.5
    pages = batch * room // 64
    table = torch.randperm(pages, device="cuda").int().view(batch, -1)
    step = (
        draw(batch, heads, dim, dtype=FP8),
        draw(batch, heads),
        torch.tensor([640, 1, 333], dtype=torch.int32, device="cuda"),
    )
    for keys in (SequenceKeys(k, scale), paged(k, scale, table, pages)):
        yield f"decode {type(keys).__name__}", partial(decode, keys, *step)


def decode(keys: DecodeKeys, q: Tensor, weights: Tensor, lengths: Tensor) -> None:
    """A step of both decoders over `keys`, which are all new."""
    flat = FlatDecoder(keys.batch, keys.capacity, 128, device="cuda", backend=BACKEND)
    flat.select(q, keys, weights, lengths)
    blocks: dict[str, Any] = {"block_size": 64, "num_blocks": 4}
    hisa = HisaDecoder(keys.batch, keys.capacity, keys.dim, 128, **blocks, device="cuda", backend=BACKEND)
    hisa.update(keys, lengths, keys.capacity)
    hisa.select(q, keys, weights, lengths)


def main() -> int:
    """Run the command; its exit code."""
    argparse.ArgumentParser("benchmarks.smallest", description=__doc__).parse_args()
    if not torch.cuda.is_available():
        print("error: torch sees no GPU – run this where there is one", file=sys.stderr)
        return 2
    torch.manual_seed(0)
    for part in (selections, top_k, attention, decoding):
        for name, run in part():
            run()
            torch.cuda.synchronize()
            print(name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
