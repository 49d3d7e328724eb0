"""Bad arguments are refused in one line that says what is wrong and how to mend it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kernel_examples import Batch, real

import hisa_kernels
from hisa_kernels import PooledKeyCache, dispatch

GOOD = real([(40, 6)])
FP8 = real([(40, 6)], dtype=torch.float8_e4m3fn)
OPTIONS: dict[str, Any] = {"block_size": 4, "num_blocks": 3}


def hisa(batch: Batch = GOOD, topk: int = 8, **changes: Any) -> torch.Tensor:
    return hisa_kernels.select_hisa(*batch.args, topk, **{"k_scale": batch.k_scale, **OPTIONS, **changes})


def mla(**changes: Any) -> torch.Tensor:
    arguments = {
        "q": torch.ones(3, 2, 8),
        "kv": torch.ones(5, 8),
        "indices": torch.zeros(3, 4, dtype=torch.int32),
        "scale": 1.0,
        "value_dim": 8,
        **changes,
    }
    return hisa_kernels.sparse_mla(**arguments)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "q rank": (lambda: hisa(replace(GOOD, q=GOOD.q[0])), r"q has shape .* pass it as \[M, H, D\]"),
    "q dtype": (lambda: hisa(replace(GOOD, q=GOOD.q.half())), "q is float16: convert it to float32"),
    "q no tensor": (lambda: hisa(replace(GOOD, q=[1])), "q is a list: pass a torch tensor"),
    "q heads": (lambda: hisa(replace(GOOD, q=GOOD.q[:, :0], weights=GOOD.weights[:, :0])), "heads H"),
    "D": (lambda: hisa(replace(GOOD, k=GOOD.k[:, :5])), "q has shape .* but k needs 5 along dimension 2"),
    "weights rows": (lambda: hisa(replace(GOOD, weights=GOOD.weights[:3])), "weights has shape"),
    "weights dtype": (lambda: hisa(replace(GOOD, weights=GOOD.weights.double())), "weights is float64"),
    "starts dtype": (lambda: hisa(replace(GOOD, starts=GOOD.starts.long())), "starts is int64"),
    "ends rows": (lambda: hisa(replace(GOOD, ends=GOOD.ends[:2])), "ends has shape"),
    "end beyond": (
        lambda: hisa(replace(GOOD, ends=GOOD.ends + 9)),
        "of 40 keys: pass 0 <= starts <= ends <= 40",
    ),
    "end before start": (lambda: hisa(replace(GOOD, starts=GOOD.ends + 1)), "row 0 sees"),
    "negative start": (lambda: hisa(replace(GOOD, starts=GOOD.starts - 1)), "row 0 sees"),
    "scale missing": (lambda: hisa(FP8, k_scale=None), "k_scale is missing"),
    "scale superfluous": (lambda: hisa(k_scale=torch.ones(40)), "drop it, it belongs to FP8 keys"),
    "scale shape": (lambda: hisa(FP8, k_scale=torch.ones(3)), "k_scale has shape"),
    "topk": (lambda: hisa(topk=0), "topk is 0: pass a whole number of at least 1"),
    "topk float": (lambda: hisa(topk=2.0), "topk is 2.0"),
    "infeasible": (lambda: hisa(topk=13), "3 blocks of 4 hold 12 tokens, fewer than topk 13: .* at least 4"),
    "block size": (lambda: hisa(block_size=-1), "block_size is -1"),
    "num blocks": (lambda: hisa(num_blocks=0), "num_blocks is 0"),
    "neither": (lambda: hisa(num_blocks=None), "neither num_blocks nor ratio"),
    "ratio": (lambda: hisa(ratio=0.5), "ratio is 0.5"),
    "pooling": (lambda: hisa(pooling="median"), "pooling is 'median': choose one of mean, max"),
    "forced": (lambda: hisa(forced="last"), "forced is 'last'"),
    "block score dtype": (lambda: hisa(block_score_dtype="fp8"), "block_score_dtype is 'fp8'"),
    "backend": (lambda: hisa(backend="triton"), "backend is 'triton': choose one of auto"),
    "cache size": (lambda: hisa(cache=PooledKeyCache(8)), "blocks of 8 by mean but the call asks for 4"),
    "cache pooling": (lambda: hisa(cache=PooledKeyCache(4, "max")), "by max but the call asks for 4 by mean"),
    "cache of a packed batch": (
        lambda: hisa(replace(GOOD, starts=GOOD.starts + 1), cache=PooledKeyCache(4)),
        "a cache holds one sequence",
    ),
    "block beyond": (
        lambda: hisa_kernels.candidate_scores(*GOOD.args, torch.full((6, 2), 10, dtype=torch.int32), 4),
        "row 0 sees 9 blocks but blocks reach to 10",
    ),
    "score matrix": (
        lambda: hisa_kernels.index_scores(
            torch.zeros(1 << 15, 1, 1),
            torch.zeros(1 << 14, 1),
            torch.zeros(1 << 15, 1),
            torch.zeros(1 << 15, dtype=torch.int32),
            torch.zeros(1 << 15, dtype=torch.int32),
        ),
        "would take 2048 MiB, above the limit of 1024 MiB: ask for at most 16384 rows a call",
    ),
    "cache shrinks": (
        lambda: [(c := PooledKeyCache(4)).update(GOOD.k), c.update(GOOD.k[:9])],
        r"truncate\(9\)",
    ),
    "cache width": (
        lambda: [(c := PooledKeyCache(4)).update(GOOD.k[:9]), c.update(GOOD.k[:, :3])],
        "make a new cache",
    ),
    "truncate": (lambda: PooledKeyCache(4).truncate(-1), "length is -1"),
    "mla width": (lambda: mla(kv=torch.ones(5, 7)), "kv has shape"),
    "mla value": (lambda: mla(value_dim=9), "value_dim is 9 but kv has 8 columns"),
    "mla index": (
        lambda: mla(indices=torch.full((3, 4), 5, dtype=torch.int32)),
        "reach to 5 but kv has 5 rows",
    ),
    "mla scale": (lambda: mla(scale=float("nan")), "scale is nan"),
    "mla dtype": (lambda: mla(indices=torch.zeros(3, 4)), "indices is float32: convert it to int32"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_argument_is_refused_in_one_line(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)
    assert ": " in str(refusal.value)


@pytest.mark.gpu
def test_tensors_on_two_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="move both to one device"):
        hisa(replace(GOOD, weights=GOOD.weights.cuda()))


def test_tilelang_off_the_gpu_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"hisa-eval\[kernels\]"):
        hisa(backend="tilelang")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(RuntimeError, match="needs CUDA tensors"):
        hisa(backend="tilelang")


def like(device: str, dtype: torch.dtype = torch.bfloat16) -> Any:
    """What dispatch looks at of an input; a CUDA tensor cannot be made without a GPU."""
    return SimpleNamespace(device=torch.device(device), dtype=dtype)


def test_a_kernel_can_be_plugged_in_for_one_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` prefers a registered kernel on CUDA only; every other operator stays with the reference."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(dispatch.TILELANG, "select_flat", "hisa_kernels.reference.top:pack")
    gpu, cpu, wide = like("cuda"), like("cpu"), like("cuda", torch.float32)
    assert dispatch.implementation("select_flat", "auto", gpu).__name__ == "pack"
    assert dispatch.implementation("select_flat", "tilelang", gpu).__name__ == "pack"
    assert dispatch.implementation("select_flat", "reference", gpu).__name__ == "select_flat"
    assert dispatch.implementation("select_flat", "auto", cpu).__name__ == "select_flat"
    assert dispatch.implementation("select_flat", "auto", wide).__name__ == "select_flat"
    with pytest.raises(RuntimeError, match="bfloat16 or float8_e4m3fn but these are float32"):
        dispatch.implementation("select_flat", "tilelang", wide)
    monkeypatch.delitem(dispatch.TILELANG, "select_hisa", raising=False)
    assert dispatch.implementation("select_hisa", "auto", gpu) is dispatch.implementation(
        "select_hisa", "reference", gpu
    )
    with pytest.raises(RuntimeError, match="no TileLang kernel"):
        dispatch.implementation("select_hisa", "tilelang", gpu)


def test_what_runs_is_said_operator_by_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest that named TileLang alone would hide that some operators are still the reference's."""
    assert dispatch.backend_in_use("cpu", torch.bfloat16) == "reference"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2")
    monkeypatch.setattr(dispatch, "TILELANG", dict.fromkeys(("select_flat", "pool_keys"), "module:name"))
    assert dispatch.backend_in_use("cuda", torch.bfloat16) == "tilelang 1.2: pool_keys, select_flat"
    assert dispatch.backend_in_use("cuda", torch.float32) == "reference"


def test_every_operator_has_a_reference() -> None:
    operators = set(hisa_kernels.__all__) - {"PooledKeyCache"}
    assert operators == set(dispatch.REFERENCE)
    for operator in operators:
        assert callable(dispatch.implementation(operator, "reference", torch.zeros(1)))
