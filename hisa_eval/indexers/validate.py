"""Input checks for any indexer: call `validate_inputs` first in `select` and bad input ends in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from hisa_eval.indexers.base import IndexerState
    from hisa_kernels import PooledKeyCache

_FP8 = torch.float8_e4m3fn
_FLOATS = (torch.float32, torch.bfloat16, _FP8)


def validate_inputs(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    topk: int,
    *,
    k_scale: Tensor | None = None,
    checked: int = 0,
) -> None:
    """Refuse inputs that no selection is defined for.

    Args:
        q: Indexer queries `[M, H, D]` (f32, bf16 or FP8 e4m3).
        k: Indexer keys `[N, D]` (f32, bf16 or FP8 e4m3).
        weights: Per-head gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32.
        ends: One past the last visible key of each query `[M]` int32.
        topk: Token budget k.
        k_scale: Per-token scale `[N]` f32, with FP8 keys only.
        checked: Leading keys whose values were checked by an earlier call (a cache holds them).

    Raises:
        ValueError: shapes, dtypes or devices disagree, a bound is not 0 <= start <= end <= N, k is below 1,
            or a value is NaN or infinite.
    """
    _check_layout(q, k, weights, starts, ends, topk, k_scale)
    named = {"q": q, "k": k[checked:], "weights": weights}
    if k_scale is not None:
        named["k_scale"] = k_scale[checked:]
    flags = [(starts < 0).any(), (starts > ends).any(), (ends > k.shape[0]).any()]
    flags += [_suspect(tensor) for tensor in named.values()]
    # One transfer for all checks: on a GPU each question asked alone would stop the pipeline.
    answers = torch.stack(flags).tolist()
    if any(answers[:3]):
        _explain_bounds(starts, ends, k.shape[0])
    for (name, tensor), suspect in zip(named.items(), answers[3:], strict=True):
        if suspect:
            require_finite(name, tensor)


def require_finite(name: str, values: Tensor) -> None:
    """Refuse NaN and infinity.

    Args:
        name: What `values` is, for the message.
        values: Any floating-point tensor.

    Raises:
        ValueError: one is NaN or infinite.
    """
    bad = (values.view(torch.uint8) & 0x7F) == 0x7F if values.dtype == _FP8 else ~torch.isfinite(values)
    count = int(bad.sum())
    if count:
        first = bad.nonzero()[0].tolist()
        value = float(values[tuple(first)])
        raise ValueError(
            f"{name} holds {count} NaN or infinite value(s), the first {value} at {first} – "
            "a score of it has no rank; repair what produces it"
        )


def pooled_cache(
    label: str, state: IndexerState | None, block_size: int, pooling: str, starts: Tensor
) -> PooledKeyCache | None:
    """The pooled-key cache inside a state, checked to fit the indexer that uses it.

    Args:
        label: The indexer, for the message.
        state: What was handed to `select`.
        block_size: Block size B of the indexer.
        pooling: Its pooling.
        starts: First visible key of each query `[M]`.

    Raises:
        ValueError: the state belongs to another indexer, or a row does not start at the sequence's first key.
    """
    if state is None:
        return None
    from hisa_kernels import PooledKeyCache

    if not isinstance(state, PooledKeyCache):
        raise ValueError(f"{label}: state is a {type(state).__name__} – pass what its own new_state() gave")
    if (state.block_size, state.pooling) != (block_size, pooling):
        raise ValueError(
            f"{label}: state pools {state.block_size} keys by {state.pooling}, the indexer {block_size} by "
            f"{pooling} – pass what its own new_state() gave"
        )
    if bool((starts != 0).any()):
        raise ValueError(f"{label}: a state holds one sequence – every start must then be 0")
    return state


def _check_layout(
    q: Tensor, k: Tensor, weights: Tensor, starts: Tensor, ends: Tensor, topk: int, k_scale: Tensor | None
) -> None:
    if topk < 1:
        raise ValueError(f"k = {topk} is no token budget – pass a topk of at least 1")
    if q.ndim != 3:
        raise ValueError(f"q has shape {_shape(q)} – pass [M, H, D]")
    m, h, d = q.shape
    if k.ndim != 2 or k.shape[1] != d:
        raise ValueError(f"k has shape {_shape(k)} – with q {_shape(q)} pass [N, {d}]")
    n = k.shape[0]
    if q.dtype not in _FLOATS or k.dtype not in _FLOATS:
        raise ValueError(f"q is {_dtype(q)}, k is {_dtype(k)} – pass float32, bfloat16 or float8_e4m3fn")
    expected = {
        "weights": (weights, (m, h), torch.float32),
        "starts": (starts, (m,), torch.int32),
        "ends": (ends, (m,), torch.int32),
    }
    if k_scale is not None:
        expected["k_scale"] = (k_scale, (n,), torch.float32)
    for name, (tensor, shape, dtype) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} has shape {_shape(tensor)} – with q {_shape(q)} pass {list(shape)}")
        if tensor.dtype != dtype:
            raise ValueError(f"{name} is {_dtype(tensor)} – convert it with .to({dtype})")
    if (k.dtype == _FP8) != (k_scale is not None):
        given = "without" if k_scale is None else "with"
        raise ValueError(
            f"k is {_dtype(k)} {given} k_scale – pass a scale per token with FP8 keys, and with no others"
        )
    for name, tensor in {"k": k, **{name: each[0] for name, each in expected.items()}}.items():
        if tensor.device != q.device:
            raise ValueError(f"{name} is on {tensor.device}, q on {q.device} – move both to one device")


def _explain_bounds(starts: Tensor, ends: Tensor, n: int) -> None:
    bad = (starts < 0) | (starts > ends) | (ends > n)
    row = int(bad.nonzero()[0])
    raise ValueError(
        f"row {row}: starts = {int(starts[row])}, ends = {int(ends[row])} with {n} keys – "
        "bounds must satisfy 0 <= start <= end <= N"
    )


def _suspect(values: Tensor) -> Tensor:
    """Whether `values` may hold NaN or infinity; a finite sum rules both out without a mask of their size."""
    if values.dtype == _FP8:
        return ((values.view(torch.uint8) & 0x7F) == 0x7F).any()
    return ~torch.isfinite(values.sum())


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
