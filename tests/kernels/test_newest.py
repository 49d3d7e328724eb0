"""Selection for the newest token equals the last row of the operators for many rows, whatever lies behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hisa_kernels import PooledKeyCache, select_block_sparse, select_flat, select_hisa
from hisa_kernels.newest import NewestBlockSparse, NewestFlat, NewestHisa
from hisa_kernels.options import BlockOptions

ROOM, HEADS, DIM, TOPK = 700, 4, 64, 100
SETTINGS: list[dict[str, Any]] = [
    {"block_size": 16, "num_blocks": 8},
    {"block_size": 16, "num_blocks": 8, "forced": "none", "pooling": "max"},
    {
        "block_size": 16,
        "num_blocks": 8,
        "forced": "first_last2",
        "forced_in_budget": False,
        "block_score_dtype": "bf16",
    },
    {"block_size": 50, "num_blocks": 2, "forced": "first_last2"},
]
BEGINNINGS = [0, 60, 98, 126, 640]
"""Around k, around m·B, and to the end of the room."""


class Tokens:
    """A sequence that arrives token by token in a buffer of NaN."""

    def __init__(self, device: torch.device, dtype: torch.dtype, *, whole: bool) -> None:
        make = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Tensor:
            values = (
                torch.randint(-1, 2, shape, generator=make) if whole else torch.randn(shape, generator=make)
            )
            return values.float().to(device)

        self.k = draw(ROOM, DIM).to(dtype)
        self.q = draw(ROOM, HEADS, DIM).to(dtype)
        self.weights = draw(ROOM, HEADS)
        self.buffer = torch.full_like(self.k, torch.nan)

    def fill(self, length: int) -> None:
        self.buffer.fill_(torch.nan)
        self.buffer[:length] = self.k[:length]

    def row(self, at: int) -> tuple[Tensor, Tensor, Tensor]:
        """Query, gates and end of token `at`, whose key is put into the buffer."""
        self.buffer[at] = self.k[at]
        end = torch.tensor([at + 1], dtype=torch.int32, device=self.k.device)
        return self.q[at : at + 1], self.weights[at : at + 1], end


def pairs(
    tokens: Tokens, ends: tuple[int, int] | None = None
) -> list[tuple[NewestFlat, Any, dict[str, Any]]]:
    """Each selector with the operator that it follows, and that one's settings."""
    made: list[tuple[NewestFlat, Any, dict[str, Any]]] = [
        (NewestFlat(tokens.buffer, HEADS, TOPK, ends=ends), select_flat, {"topk": TOPK})
    ]
    for settings in SETTINGS:
        options = BlockOptions(**settings)
        hisa = NewestHisa(tokens.buffer, HEADS, TOPK, options, ends=ends)
        made.append((hisa, select_hisa, {"topk": TOPK, **settings}))
        sparse = NewestBlockSparse(tokens.buffer, HEADS, TOPK, options, ends=ends)
        made.append((sparse, select_block_sparse, settings))
    return made


@pytest.mark.parametrize("bounded", [False, True], ids=["any-end", "known-ends"])
@pytest.mark.parametrize("whole", [True, False], ids=["ties", "random"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_newest_row_of_the_operator(
    device: torch.device, dtype: torch.dtype, whole: bool, bounded: bool
) -> None:
    tokens = Tokens(device, dtype, whole=whole)
    for begin in BEGINNINGS:
        ends = (begin + 1, min(begin + 12, ROOM))
        for selector, operator, settings in pairs(tokens, ends if bounded else None):
            assert selector.serves(ends) or not bounded
            cache: dict[str, Any] = {}
            if operator is not select_flat:
                pooling = settings.get("pooling", "mean")
                cache["cache"] = PooledKeyCache(settings["block_size"], pooling)
            tokens.fill(begin)
            selector.begin(begin)
            for at in range(begin, ends[1]):
                q, weights, end = tokens.row(at)
                chosen = selector.select(q, weights, end)
                k, start = tokens.k[: at + 1], torch.zeros_like(end)
                assert torch.equal(chosen, operator(q, k, weights, start, end, **settings, **cache)), at


def test_a_selector_for_some_ends_does_not_serve_others() -> None:
    options, buffer = BlockOptions(block_size=16, num_blocks=8), torch.zeros(ROOM, DIM)
    kinds = {"below": (1, 128), "across": (120, 140), "beyond": (129, 300)}
    for name, ends in kinds.items():
        made = NewestHisa(buffer, HEADS, TOPK, options, ends=ends)
        assert [other for other, theirs in kinds.items() if made.serves(theirs)] == [name]
    assert NewestFlat(buffer, HEADS, TOPK, ends=(1, 2)).serves((1, 700))


def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(ValueError, match="fixed num_blocks"):
        NewestHisa(torch.zeros(8, 4), 2, 3, BlockOptions(4, ratio=2.0))
    with pytest.raises(ValueError, match="topk"):
        NewestFlat(torch.zeros(8, 4), 2, 0)
    with pytest.raises(RuntimeError, match="CUDA"):
        NewestFlat(torch.zeros(8, 4, dtype=torch.bfloat16), 2, 3, backend="tilelang")


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["auto", "reference", "tilelang"])
def test_one_cuda_graph_serves_all_lengths(backend: str) -> None:
    tokens = Tokens(torch.device("cuda"), torch.bfloat16, whole=False)
    options = BlockOptions(**SETTINGS[0])
    selectors = [
        NewestFlat(tokens.buffer, HEADS, TOPK, backend=backend),
        NewestHisa(tokens.buffer, HEADS, TOPK, options, backend=backend),
        NewestBlockSparse(tokens.buffer, HEADS, TOPK, options, backend=backend),
    ]
    q, weights = tokens.q[:1].clone(), tokens.weights[:1].clone()
    end = torch.ones(1, dtype=torch.int32, device="cuda")
    tokens.fill(1)

    def run() -> list[Tensor]:
        return [selector.select(q, weights, end) for selector in selectors]

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        run()
        run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=aside):
        chosen = run()
    for begin in BEGINNINGS:
        tokens.fill(begin)
        for selector in selectors:
            selector.begin(begin)
        for at in range(begin, begin + 12):
            for target, value in zip((q, weights, end), tokens.row(at), strict=True):
                target.copy_(value)
            graph.replay()
            replayed = [one.clone() for one in chosen]
            assert all(torch.equal(a, b) for a, b in zip(replayed, run(), strict=True)), at
            q0, k, zero = q, tokens.k[: at + 1], torch.zeros_like(end)
            flat = select_flat(q0, k, weights, zero, end, TOPK, backend=backend)
            assert torch.equal(replayed[0], flat), at
            hisa = select_hisa(q0, k, weights, zero, end, TOPK, **SETTINGS[0], backend=backend)
            assert torch.equal(replayed[1], hisa), at
            sparse = select_block_sparse(q0, k, weights, zero, end, **SETTINGS[0], backend=backend)
            assert torch.equal(replayed[2], sparse), at
