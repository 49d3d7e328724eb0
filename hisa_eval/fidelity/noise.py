"""The noise floor: how far an indexer agrees with itself when only precision or kernel changes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from hisa_eval.fidelity.frame import Frame
from hisa_eval.fidelity.measure import choose, listed
from hisa_eval.fidelity.overlap import overlap
from hisa_eval.fidelity.precision import at_precision
from hisa_eval.indexers.base import Indexer
from hisa_kernels import select_flat


def noise_floor(
    frame: Frame, indexer: Indexer, topk: int, chosen: Tensor, precisions: Sequence[str]
) -> dict[str, list[float | None]]:
    """IoU of an indexer's selection with its own under rounding, row by row.

    Args:
        frame: The inputs as they are.
        indexer: Who selects.
        topk: Token budget k.
        chosen: Its selection from `frame` `[R, W]` int32.
        precisions: Of `hisa_eval.fidelity.precision.PRECISIONS`. In `f32` index heads and dimensions come in
            reverse, so that nothing but the order of f32 sums is another.

    Returns:
        One list a precision; on a GPU, for flat DSA, also `kernel`: the kernel's choice from bf16 inputs
        against the reference operator's from the same.
    """
    found = {
        name: listed(overlap(choose(_rounded(frame, name), indexer, topk), chosen).iou) for name in precisions
    }
    kernels = frame.q.device.type == "cuda" and importlib.util.find_spec("tilelang") is not None
    if indexer.name == "dsa" and kernels:
        own = at_precision(frame, "bf16")
        pair = [
            select_flat(own.q, own.k, own.weights, own.starts, own.ends, topk, backend=backend)
            for backend in ("tilelang", "reference")
        ]
        found["kernel"] = listed(overlap(*pair).iou)
    return found


def _rounded(frame: Frame, precision: str) -> Frame:
    own = at_precision(frame, precision)
    if precision != "f32":
        return own
    return replace(own, q=own.q.flip(1, 2), k=own.k.flip(1), weights=own.weights.flip(1))
