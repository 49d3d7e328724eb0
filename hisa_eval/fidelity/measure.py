"""Row by row: what a selection keeps of flat DSA's, of its scores, of the attention and of the evidence.

Memory does not grow with rows times context: scores are computed for selected keys alone, a few rows at a
time.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hisa_eval.fidelity.frame import Frame
from hisa_eval.fidelity.overlap import overlap
from hisa_eval.indexers.base import Indexer, IndexerState

DISTANCES = (0, 256, 1024, 4096, 16384, 65536)
"""Where the classes of distance begin: keys between a query and the key, 0 for its own position."""

_TILE_BYTES = 64 << 20
_DIGITS = 5


def choose(frame: Frame, indexer: Indexer, topk: int, state: IndexerState | None = None) -> Tensor:
    """The indexer's selection for the rows of a frame `[R, W]` int32.

    Args:
        frame: The inputs.
        indexer: Who selects.
        topk: Token budget k.
        state: Of the frame's layer, for an indexer that takes over from the layers before.
    """
    inputs = (frame.q, frame.k, frame.weights, frame.starts, frame.ends, topk)
    return indexer.select(*inputs, k_scale=frame.k_scale, state=state)


def selected_scores(frame: Frame, indices: Tensor) -> Tensor:
    """Index scores of selected keys `[R, W]` f32, −inf in empty slots.

    Args:
        frame: In f32 or bf16.
        indices: Selected keys `[R, W]` int32.

    Source: arXiv 2603.28458, equation 1.
    """
    n_rows, width = indices.shape
    out = torch.full((n_rows, width), -math.inf, device=indices.device)
    dim, heads = frame.k.shape[1], frame.q.shape[1]
    step = max(1, _TILE_BYTES // (4 * max(1, width) * (dim + heads)))
    for at in range(0, n_rows, step):
        part = indices[at : at + step]
        keys = frame.k[part.clamp(min=0).long()].float()
        dots = torch.einsum("rhd,rwd->rhw", frame.q[at : at + step].float(), keys).relu_()
        scores = torch.einsum("rhw,rh->rw", dots, frame.weights[at : at + step])
        out[at : at + step] = scores.masked_fill_(part < 0, -math.inf)
    return out


def measure(frame: Frame, indices: Tensor, reference: Tensor, reference_scores: Tensor) -> dict[str, Any]:
    """Figures of one selection of one layer.

    Args:
        frame: The inputs that both were selected from.
        indices: The selection in question `[R, W]` int32.
        reference: Flat DSA's `[R, k]` int32.
        reference_scores: Its index scores, from `selected_scores`.

    Returns:
        Lists with one value a row (None where it is not defined) of `iou`, `recall`, `mass` (positive index
        score kept, over flat DSA's), `top1` (1 where the best-scored key was kept), `attention` (share of the
        dense attention that the selection holds); `kept` and `wanted` of flat DSA's keys by distance class;
        and of the last row, which answers, `evidence` (share of the answer's tokens selected), with
        `evidence_of_flat` (the same of flat DSA).
    """
    both = overlap(indices, reference)
    held = _positive(selected_scores(frame, indices)).sum(1)
    due = _positive(reference_scores).sum(1)
    kept = _isin(reference, indices)
    found: dict[str, Any] = {
        "layer": frame.layer,
        "iou": listed(both.iou),
        "recall": listed(both.recall),
        "mass": listed(torch.where(due > 0, held / due.clamp(min=1e-30), math.nan)),
        "top1": listed(kept.gather(1, _best(reference_scores)[:, None])[:, 0].float()),
        "attention": [None] * len(indices),
    }
    if frame.attention is not None:
        shares = frame.attention.gather(1, indices.clamp(min=0).long()).masked_fill(indices < 0, 0.0)
        found["attention"] = listed(shares.sum(1))
    distance = (frame.ends[:, None] - 1 - reference).clamp(min=0)
    place = torch.bucketize(distance, torch.tensor(DISTANCES[1:], device=distance.device), right=True)
    there = reference >= 0
    for name, mask in (("kept", kept & there), ("wanted", there)):
        counts = torch.stack([((place == one) & mask).sum(1) for one in range(len(DISTANCES))], 1)
        found[name] = counts[:-1].sum(0).tolist() if len(counts) > 1 else counts.sum(0).tolist()
    return {**found, **_evidence(frame, indices[-1], reference[-1])}


def _evidence(frame: Frame, row: Tensor, flat: Tensor) -> dict[str, float | None]:
    if not frame.evidence:
        return {"evidence": None, "evidence_of_flat": None}
    wanted = torch.tensor(frame.evidence, dtype=row.dtype, device=row.device)
    shares = [float(torch.isin(wanted, one).float().mean()) for one in (row, flat)]
    return {"evidence": round(shares[0], _DIGITS), "evidence_of_flat": round(shares[1], _DIGITS)}


def _positive(scores: Tensor) -> Tensor:
    return scores.clamp(min=0)


def _best(scores: Tensor) -> Tensor:
    """Slot of each row's best score, the first of equal ones."""
    slot = torch.arange(scores.shape[1], device=scores.device)
    return torch.where(scores == scores.amax(1, keepdim=True), slot, scores.shape[1]).amin(1)


def _isin(wanted: Tensor, rows: Tensor) -> Tensor:
    """Which of `wanted` `[R, V]` stand in the same row of `rows` `[R, W]`; both ascending, −1 at the end."""
    if rows.shape[1] == 0:
        return torch.zeros_like(wanted, dtype=torch.bool)
    ordered = torch.where(rows < 0, torch.iinfo(torch.int32).max, rows).contiguous()
    place = torch.searchsorted(ordered, wanted.contiguous()).clamp_(max=ordered.shape[1] - 1)
    return (ordered.gather(1, place) == wanted) & (wanted >= 0)


def listed(values: Tensor) -> list[float | None]:
    """Values as JSON, rounded, NaN as None; a share below 1 is never rounded up to it."""
    most = 1 - 10.0**-_DIGITS
    return [
        None if math.isnan(one) else min(round(one, _DIGITS), most) if one < 1 else round(one, _DIGITS)
        for one in values.tolist()
    ]
