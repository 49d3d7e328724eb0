"""Inputs of the scoring kernels in the shapes and dtypes that these come in."""

import functools

import torch
from torch import Tensor
from torch.nn.functional import pad

NAMES = {torch.float8_e4m3fn: "float8_e4m3fn", torch.bfloat16: "bfloat16", torch.float32: "float32"}
"""Element types by TileLang's names."""

HEADS = (4, 8, 16, 32, 64)
DIMS = (32, 64, 128)

ALIGNMENT = 16
"""Bytes at whose multiples TMA reads start."""


def has_kernel(heads: int, dim: int) -> bool:
    """Whether the kernels serve H = `heads` and D = `dim`, if need be padded with zeros."""
    return 0 < heads <= HEADS[-1] and 0 < dim <= DIMS[-1]


def dense(tensor: Tensor) -> Tensor:
    """`tensor` itself, or a copy where it is not contiguous or starts at an odd address."""
    tensor = tensor.contiguous()
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def _widened(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`tensor` with zeros behind the last elements of its last dimensions, so that these become `shape`."""
    if tensor.shape[-len(shape) :] == shape:
        return tensor
    room = [0, shape[-1] - tensor.shape[-1]]
    if len(shape) == 2:
        room += [0, shape[0] - tensor.shape[-2]]
    if tensor.dtype == torch.float8_e4m3fn:
        return pad(tensor.view(torch.uint8), room).view(tensor.dtype)
    return pad(tensor, room)


def fit_queries(q: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Queries `[M, H, D]` and weights `[M, H]` padded to H and D that there are kernels for.

    Raises:
        ValueError: H or D are too large.
    """
    heads, dim = q.shape[1:]
    if not has_kernel(heads, dim):
        raise ValueError(
            f"q has {heads} heads of {dim}: the kernels take at most {HEADS[-1]} of {DIMS[-1]}, "
            "pass backend='reference'"
        )
    heads = next(known for known in HEADS if known >= heads)
    dim = next(known for known in DIMS if known >= dim)
    return dense(_widened(q, (heads, dim))), _widened(weights, (heads,)).contiguous()


def fit_keys(k: Tensor, dim: int) -> Tensor:
    """Keys `[N, D]` padded to `[N, dim]`."""
    return dense(_widened(k, (dim,)))


def same_dtype(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys of one dtype: where one is FP8 and the other bf16, the former in bf16 (exactly)."""
    if q.dtype == k.dtype:
        return q, k
    return q.to(torch.bfloat16), k.to(torch.bfloat16)


@functools.cache
def multiprocessors(device: torch.device) -> int:
    """How many thread blocks of a kernel that fills its multiprocessor run at once."""
    return torch.cuda.get_device_properties(device).multi_processor_count
