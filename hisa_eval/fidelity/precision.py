"""The same inputs in another precision: what an indexer changes by rounding alone is the noise floor."""

from __future__ import annotations

from dataclasses import replace

import torch

from hisa_eval.fidelity.frame import Frame
from hisa_kernels.measure.inputs import quantise

PRECISIONS = ("f32", "bf16", "fp8")


def at_precision(frame: Frame, precision: str) -> Frame:
    """A frame with queries and keys rounded.

    Args:
        frame: In f32 or bf16.
        precision: `"f32"`, `"bf16"`, or `"fp8"` (e4m3; one scale a key, one a query and head, folded into
            its gate).

    Raises:
        ValueError: an unknown precision.

    Source: FP8 layout of the public `dsa_hisa` example of TileLang (one f32 scale a token key).
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is unknown – choose of {', '.join(PRECISIONS)}")
    if precision != "fp8":
        dtype = torch.float32 if precision == "f32" else torch.bfloat16
        return replace(frame, q=frame.q.to(dtype), k=frame.k.to(dtype))
    q, q_scale = quantise(frame.q)
    k, k_scale = quantise(frame.k)
    return replace(frame, q=q, k=k, k_scale=k_scale, weights=frame.weights * q_scale)
