"""Every check on the operators' arguments; a failed one is a one-line `ValueError`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hisa_kernels.memory import SCORE_MATRIX_BYTES
from hisa_kernels.rows import Rows

FP8 = torch.float8_e4m3fn
SCORING_DTYPES = (torch.float32, torch.bfloat16, FP8)
ATTENTION_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def _names(dtypes: Sequence[torch.dtype]) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)


def check_tensor(name: str, tensor: Tensor, shape: str, dtypes: Sequence[torch.dtype]) -> None:
    """Refuses a tensor of the wrong rank or dtype.

    Args:
        name: Argument name.
        tensor: The argument.
        shape: Expected shape, letters separated by spaces (`"M H D"`).
        dtypes: Accepted element types.

    Raises:
        ValueError: rank or dtype differ.
    """
    letters = shape.split()
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} is a {type(tensor).__name__}: pass a torch tensor [{', '.join(letters)}]")
    if tensor.dim() != len(letters):
        raise ValueError(f"{name} has shape {list(tensor.shape)}: pass it as [{', '.join(letters)}]")
    if tensor.dtype not in dtypes:
        raise ValueError(f"{name} is {_names([tensor.dtype])}: convert it to {_names(dtypes)}")


def check_extent(name: str, tensor: Tensor, dim: int, extent: int, of: str) -> None:
    """Refuses a tensor whose dimension `dim` is not `extent`.

    Raises:
        ValueError: the extents differ.
    """
    if tensor.shape[dim] != extent:
        raise ValueError(
            f"{name} has shape {list(tensor.shape)} but {of} needs {extent} along dimension {dim}: "
            f"pass matching tensors"
        )


def check_device(name: str, tensor: Tensor, like: Tensor, of: str) -> None:
    """Refuses a tensor on another device than `like`.

    Raises:
        ValueError: the devices differ.
    """
    if tensor.device != like.device:
        raise ValueError(
            f"{name} is on {tensor.device} but {of} is on {like.device}: move both to one device"
        )


def check_positive(name: str, value: int) -> None:
    """Refuses anything but a positive whole number.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value!r}: pass a whole number of at least 1")


def check_keys(k: Tensor, k_scale: Tensor | None) -> None:
    """Refuses keys that are not `[N, D]`, or whose scale is missing, superfluous or misshapen.

    Raises:
        ValueError: see above.
    """
    check_tensor("k", k, "N D", SCORING_DTYPES)
    if k.shape[1] == 0:
        raise ValueError(f"k has shape {list(k.shape)}: the head dimension D must be at least 1")
    if k_scale is None:
        if k.dtype == FP8:
            raise ValueError("k is float8_e4m3fn but k_scale is missing: pass its per-token scale [N] f32")
        return
    if k.dtype != FP8:
        raise ValueError(f"k_scale is given but k is {_names([k.dtype])}: drop it, it belongs to FP8 keys")
    check_tensor("k_scale", k_scale, "N", (torch.float32,))
    check_extent("k_scale", k_scale, 0, k.shape[0], "k")
    check_device("k_scale", k_scale, k, "k")


def check_scoring(q: Tensor, k: Tensor, weights: Tensor, k_scale: Tensor | None) -> None:
    """Refuses queries, keys and gates that do not belong together.

    Raises:
        ValueError: shapes, dtypes or devices disagree.
    """
    check_keys(k, k_scale)
    check_tensor("q", q, "M H D", SCORING_DTYPES)
    check_extent("q", q, 2, k.shape[1], "k")
    if q.shape[1] == 0:
        raise ValueError(f"q has shape {list(q.shape)}: the number of heads H must be at least 1")
    check_tensor("weights", weights, "M H", (torch.float32,))
    check_extent("weights", weights, 0, q.shape[0], "q")
    check_extent("weights", weights, 1, q.shape[1], "q")
    check_device("q", q, k, "k")
    check_device("weights", weights, k, "k")


def check_rows(starts: Tensor, ends: Tensor, like: Tensor, n_rows: int, n_keys: int) -> Rows:
    """Refuses ranges outside `[0, n_keys)`; gives the geometry of the batch (one copy to the host).

    Args:
        starts: First visible key `[M]` int32.
        ends: One past the last visible key `[M]` int32.
        like: A tensor on the expected device.
        n_rows: Expected M.
        n_keys: N.

    Raises:
        ValueError: shapes, dtypes, devices or ranges are wrong.
    """
    for name, tensor in (("starts", starts), ("ends", ends)):
        check_tensor(name, tensor, "M", (torch.int32,))
        check_extent(name, tensor, 0, n_rows, "the number of rows")
        check_device(name, tensor, like, "the batch")
    both = torch.stack((starts, ends)).cpu().numpy().astype("int64")
    rows = Rows(both[0], both[1], like.device, (starts.contiguous(), ends.contiguous()))
    wrong = (rows.starts < 0) | (rows.ends < rows.starts) | (rows.ends > n_keys)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"row {row} sees [{rows.starts[row]}, {rows.ends[row]}) of {n_keys} keys: "
            f"pass 0 <= starts <= ends <= {n_keys}"
        )
    return rows


def check_matrix(name: str, n_rows: int, n_columns: int) -> None:
    """Refuses a score matrix above `SCORE_MATRIX_BYTES`.

    Raises:
        ValueError: it would be larger.
    """
    size = 4 * n_rows * n_columns
    if size > SCORE_MATRIX_BYTES:
        fit = max(1, SCORE_MATRIX_BYTES // (4 * n_columns))
        raise ValueError(
            f"{name} [{n_rows}, {n_columns}] f32 would take {math.ceil(size / 2**20)} MiB, above the limit "
            f"of {SCORE_MATRIX_BYTES >> 20} MiB: ask for at most {fit} rows a call, or use a select function"
        )


def check_attention(q: Tensor, kv: Tensor, indices: Tensor, scale: float, value_dim: int) -> None:
    """Refuses what absorbed attention over indices cannot take; does not look at the indices.

    Raises:
        ValueError: shapes, dtypes or devices are wrong, or the scale is not finite.
    """
    check_tensor("q", q, "M H Dk", ATTENTION_DTYPES)
    check_tensor("kv", kv, "N Dk", ATTENTION_DTYPES)
    check_tensor("indices", indices, "M W", (torch.int32,))
    check_extent("kv", kv, 1, q.shape[2], "q")
    check_extent("indices", indices, 0, q.shape[0], "q")
    check_device("kv", kv, q, "q")
    check_device("indices", indices, q, "q")
    check_positive("value_dim", value_dim)
    if value_dim > kv.shape[1]:
        raise ValueError(f"value_dim is {value_dim} but kv has {kv.shape[1]} columns: pass at most that many")
    if not math.isfinite(scale):
        raise ValueError(f"scale is {scale}: pass a finite number")


def check_highest(indices: Tensor, n_rows: int) -> None:
    """Refuses indices beyond `n_rows` latents (one copy to the host).

    Raises:
        ValueError: one lies beyond.
    """
    if indices.numel():
        highest = int(indices.max())
        if highest >= n_rows:
            raise ValueError(f"indices reach to {highest} but kv has {n_rows} rows: pass smaller ones")
