"""Attention counts numbers below the normal ones as zero, and leaves the thread as it found it."""

from __future__ import annotations

import torch

from hisa_kernels import sparse_mla
from hisa_kernels.workers import without_denormals

TINY = torch.tensor(1e-40)


def vanishes() -> bool:
    return float(TINY * 1.0) == 0.0


def test_the_thread_is_left_as_it_was() -> None:
    assert not vanishes()
    with without_denormals():
        assert vanishes()
        with without_denormals():
            assert vanishes()
        assert vanishes()
    assert not vanishes()


def test_a_sharp_softmax_loses_nothing_that_counts() -> None:
    make = torch.Generator().manual_seed(0)
    q, kv = torch.randn(3, 2, 16, generator=make) * 40, torch.randn(200, 16, generator=make)
    indices = torch.stack([torch.randperm(200, generator=make)[:64] for _ in range(3)]).int()
    got = sparse_mla(q, kv, indices, scale=1.0, value_dim=8, backend="reference")
    latents = kv.double()[indices.long()]
    shares = torch.softmax(torch.einsum("rhd,rwd->rhw", q.double(), latents), -1)
    assert ((shares > 0) & (shares < torch.finfo(torch.float32).tiny)).any()
    want = torch.einsum("rhw,rwd->rhd", shares, latents[..., :8])
    # A logit of up to 1,000 is off by its f32 rounding, which moves its share by as much, relatively.
    logits = torch.einsum("rhd,rwd->rhw", q.double().abs(), latents.abs()).amax()
    bound = 18 * float(logits) * torch.finfo(torch.float32).eps * float(kv.abs().max())
    assert (got - want).abs().max() <= bound
    assert not vanishes()
