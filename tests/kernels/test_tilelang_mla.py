"""The sparse MLA kernels against the reference in f32 (on a GPU)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hisa_kernels.reference.sparse_mla import sparse_mla as reference
from hisa_kernels.tilelang.sparse_mla import attend, sparse_mla

pytestmark = pytest.mark.gpu

BF16 = torch.bfloat16
UNIT = 2.0**-8
"""Unit roundoff of bf16: the shares and the result are rounded to it, and each rounding is at most this."""


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, device="cuda", generator=torch.Generator("cuda").manual_seed(seed)).to(BF16)


def chosen(kind: str, m: int, n: int, w: int) -> Tensor:
    """Indices `[m, w]` with −1 nowhere, at the end, anywhere, or everywhere in every other row."""
    make = torch.Generator("cuda").manual_seed(m + w)
    indices = torch.randint(0, n, (m, w), device="cuda", generator=make, dtype=torch.int32)
    if kind == "tail":
        used = torch.randint(0, w + 1, (m, 1), device="cuda", generator=make)
        indices[torch.arange(w, device="cuda") >= used] = -1
    elif kind == "holes":
        indices[torch.rand(m, w, device="cuda", generator=make) < 0.3] = -1
    elif kind == "empty":
        indices[::2] = -1
    return indices


def check(q: Tensor, kv: Tensor, indices: Tensor, value: int, scale: float | None = None) -> None:
    scale = q.shape[2] ** -0.5 if scale is None else scale
    out = torch.full((*q.shape[:2], value), torch.nan, device="cuda", dtype=BF16)
    got = attend(q, kv, indices, scale=scale, value_dim=value, out=out)
    assert got is out
    want = reference(q.float(), kv.float(), indices, scale=scale, value_dim=value)
    # Shares sum to 1, so their roundings move the result by at most one unit of the largest value.
    largest = kv.float().abs().amax() if len(kv) else torch.zeros(())
    assert ((got.float() - want).abs() <= UNIT * (want.abs() + largest)).all()
    assert not got[(indices < 0).all(1)].any()


@pytest.mark.parametrize("kind", ["full", "tail", "holes", "empty"])
@pytest.mark.parametrize(
    ("m", "heads", "dim", "value", "n", "w"),
    [
        (37, 8, 128, 96, 5000, 2048),
        (70, 8, 128, 96, 90000, 4096),
        (1, 8, 128, 96, 3, 7),
        (5, 20, 128, 96, 100, 100),
        (9, 3, 64, 64, 70, 65),
        (9, 5, 40, 24, 70, 65),
        (3, 16, 256, 128, 700, 333),
        (9, 3, 320, 256, 70, 65),
        (9, 3, 300, 200, 70, 65),
        (37, 128, 576, 512, 5000, 512),
        (5, 80, 576, 512, 100, 100),
        (1, 16, 576, 512, 3, 7),
    ],
)
def test_equals_the_reference(m: int, heads: int, dim: int, value: int, n: int, w: int, kind: str) -> None:
    check(draw(m, heads, dim), draw(n, dim, seed=1), chosen(kind, m, n, w), value)


@pytest.mark.parametrize(("dim", "value"), [(128, 96), (320, 256), (576, 512)])
def test_sharp_shares(dim: int, value: int) -> None:
    check(draw(20, 8, dim), draw(9000, dim, seed=1), chosen("tail", 20, 9000, 2048), value, scale=1.0)
    check(draw(20, 8, dim), draw(9000, dim, seed=1), chosen("tail", 20, 9000, 2048), value, scale=-1.0)


def test_latents_that_are_not_chosen_have_no_say() -> None:
    q, kv = draw(20, 8, 128), draw(900, 128, seed=1)
    indices = chosen("holes", 20, 800, 100)
    want = attend(q, kv, indices, scale=0.1, value_dim=96).clone()
    kv[800:] = torch.nan
    indices[indices == 0] = -1
    clean = attend(q, kv, indices, scale=0.1, value_dim=96).clone()
    kv[0] = torch.nan
    assert torch.equal(attend(q, kv, indices, scale=0.1, value_dim=96), clean)
    assert want.isfinite().all()


def test_same_answer_every_time() -> None:
    for dim, value in ((128, 96), (320, 256)):
        q, kv, indices = draw(300, 8, dim), draw(9000, dim, seed=1), chosen("holes", 300, 9000, 2048)
        first = attend(q, kv, indices, scale=0.1, value_dim=value)
        for _ in range(20):
            assert torch.equal(attend(q, kv, indices, scale=0.1, value_dim=value), first)


def test_nothing_to_attend_to() -> None:
    q, kv = draw(4, 8, 128), draw(0, 128)
    empty = torch.full((4, 16), -1, dtype=torch.int32, device="cuda")
    assert not sparse_mla(q, kv, empty, scale=1.0, value_dim=96).any()
    assert not sparse_mla(q, draw(9, 128), empty[:, :0], scale=1.0, value_dim=96).any()
    assert sparse_mla(q[:0], draw(9, 128), empty[:0], scale=1.0, value_dim=96).shape == (0, 8, 96)


def test_in_a_cuda_graph() -> None:
    q, kv, indices = draw(50, 8, 128), draw(900, 128, seed=1), chosen("tail", 50, 900, 300)
    out = torch.empty((50, 8, 96), device="cuda", dtype=BF16)
    attend(q, kv, indices, scale=0.1, value_dim=96, out=out)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        attend(q, kv, indices, scale=0.1, value_dim=96, out=out)
    for seed in range(3):
        q.copy_(draw(50, 8, 128, seed=seed + 5))
        out.fill_(torch.nan)
        graph.replay()
        assert torch.equal(out, attend(q, kv, indices, scale=0.1, value_dim=96))
