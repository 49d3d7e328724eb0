"""Neighbours that share latents get what each would get alone, and nothing of what only the other chose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kernel_bounds import attention_bound
from kernel_oracles import Oracle
from torch import Tensor

import hisa_kernels
from hisa_kernels.memory import Scratch
from hisa_kernels.reference import shared_latents, sparse_mla
from hisa_kernels.reference.shared_latents import MOST_SHARED, ROWS, attend_shared

CPU = torch.device("cpu")
WIDTH, SCALE, VALUE_DIM = 24, 0.3, 16


def neighbours(n_rows: int, *, empty: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, latents and choices: a row's window moves on by one latent."""
    make = torch.Generator().manual_seed(n_rows)
    q, kv = torch.randn(n_rows, 4, 24, generator=make), torch.randn(300, 24, generator=make)
    indices = (torch.arange(n_rows)[:, None] + torch.arange(WIDTH)[None]).int()
    if empty:
        for row in range(n_rows):
            indices[row, WIDTH - row % 7 :] = -1
    return q, kv, indices


def shared(q: Tensor, kv: Tensor, indices: Tensor) -> Tensor | None:
    out = torch.full((len(q), q.shape[1], VALUE_DIM), torch.nan)
    done = attend_shared(q, kv, indices, SCALE, out, Scratch(CPU))
    return out if done else None


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("n_rows", [ROWS, 3 * ROWS + 5, 70])
def test_the_operator_shares_and_is_right(n_rows: int, empty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    q, kv, indices = neighbours(n_rows, empty=empty)
    done: list[bool] = []

    def spy(*args: object) -> bool:
        done.append(attend_shared(*args))  # type: ignore[arg-type]
        return done[-1]

    monkeypatch.setattr(sparse_mla, "attend_shared", spy)
    got = hisa_kernels.sparse_mla(q, kv, indices, scale=SCALE, value_dim=VALUE_DIM, backend="reference")
    assert done
    assert all(done)
    want = Oracle().sparse_mla(q, kv, indices, scale=SCALE, value_dim=VALUE_DIM)
    for row, chosen in enumerate(indices):
        latents = kv[chosen[chosen >= 0].long()].double()
        bound = attention_bound(q[row].double(), latents, SCALE, VALUE_DIM, 0.0)
        assert ((got[row].double() - want[row]).abs() <= bound).all()


def test_a_neighbours_latent_weighs_nothing() -> None:
    q, kv, indices = neighbours(ROWS)
    kv[ROWS - 1 + WIDTH - 1] = torch.inf
    assert shared(q, kv, indices) is None
    got = hisa_kernels.sparse_mla(q, kv, indices, scale=SCALE, value_dim=VALUE_DIM, backend="reference")
    assert torch.isfinite(got[:-1]).all()
    assert not torch.isfinite(got[-1]).all()


def twice(indices: Tensor) -> None:
    indices[3, 1] = indices[3, 0]


def nothing(indices: Tensor) -> None:
    indices[5] = -1


def far(indices: Tensor) -> None:
    indices[:] = torch.stack([torch.randperm(300)[:WIDTH].sort()[0] for _ in indices]).int()
    assert len(indices.unique()) > MOST_SHARED * WIDTH


@pytest.mark.parametrize("spoil", [twice, nothing, far])
def test_what_cannot_be_shared_is_left_alone(spoil: Callable[[Tensor], None]) -> None:
    q, kv, indices = neighbours(ROWS)
    assert shared(q, kv, indices) is not None
    spoil(indices)
    assert shared(q, kv, indices) is None


def test_rows_that_hide_nothing_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the bound of the first test would say if each row saw all its neighbours' latents."""
    q, kv, indices = neighbours(ROWS)
    want = Oracle().sparse_mla(q, kv, indices, scale=SCALE, value_dim=VALUE_DIM)
    monkeypatch.setattr(shared_latents.torch, "minimum", lambda a, b, out: out)
    got = shared(q, kv, indices)
    assert got is not None
    latents = kv[indices[0].long()].double()
    bound = attention_bound(q[0].double(), latents, SCALE, VALUE_DIM, 0.0)
    assert not ((got[0].double() - want[0]).abs() <= bound).all()
