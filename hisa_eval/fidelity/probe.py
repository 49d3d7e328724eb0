"""Measures a selection while a model runs: sampled rows against flat DSA, and the fate of the evidence.

Rows are sampled chunk by chunk, so that figures of a reused prefix are the ones a fresh prefill would give.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hisa_eval.fidelity.overlap import overlap
from hisa_eval.indexers.base import Indexer, IndexerState

ROW_STRIDE = 128
"""One row in this many is compared."""


@dataclass(frozen=True)
class RowFigures:
    """One compared row: how many keys it sees, and its overlap with flat DSA."""

    visible: int
    iou: float
    recall: float


def sample_rows(start: int, length: int, seed: int) -> list[int]:
    """Rows of a chunk to compare, ascending, relative to the chunk: one in each stretch of `ROW_STRIDE`.

    Args:
        start: Position of the chunk's first token; with `seed` it decides the draw.
        length: Tokens of the chunk.
        seed: Of the run.
    """
    rng = random.Random(f"probe/{seed}/{start}")
    edges = range(0, length, ROW_STRIDE)
    return [rng.randrange(edge, min(edge + ROW_STRIDE, length)) for edge in edges]


def compare_rows(
    indexer: Indexer,
    flat: Indexer,
    topk: int,
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    ends: Tensor,
    state: IndexerState | None = None,
) -> list[RowFigures]:
    """Select with both indexers for the same queries of one sequence and compare.

    Both see exactly the same rows in the same call, so that rows on which they agree by construction agree
    to the last bit; flat DSA itself selects once.

    Args:
        indexer: The one in question.
        flat: Flat DSA.
        topk: Token budget k.
        q: Queries `[R, H, D]`.
        k: Keys `[N, D]`.
        weights: Gates `[R, H]`.
        ends: One past each query's last visible key `[R]` int32.
        state: The indexer's memory of the sequence, where there is one; it spares work and changes nothing.
    """
    starts = torch.zeros_like(ends)
    chosen = indexer.select(q, k, weights, starts, ends, topk, state=state)
    same = type(indexer) is type(flat) and indexer.label == flat.label
    wanted = chosen if same else flat.select(q, k, weights, starts, ends, topk)
    figures = overlap(chosen, wanted)
    return [
        RowFigures(int(visible), float(iou), float(recall))
        for visible, iou, recall in zip(
            ends.tolist(), figures.iou.tolist(), figures.recall.tolist(), strict=True
        )
    ]


def _summary(rows: Sequence[RowFigures]) -> dict[str, Any]:
    if not rows:
        return {"rows": 0, "iou_sum": 0.0, "iou_min": None, "recall_sum": 0.0, "recall_min": None}
    return {
        "rows": len(rows),
        "iou_sum": round(sum(row.iou for row in rows), 6),
        "iou_min": round(min(row.iou for row in rows), 6),
        "recall_sum": round(sum(row.recall for row in rows), 6),
        "recall_min": round(min(row.recall for row in rows), 6),
    }


@dataclass
class EvidenceTracker:
    """Share of the evidence tokens that the answering rows select, per layer.

    Args:
        positions: Token positions of the evidence.
    """

    positions: tuple[int, ...]
    shares: dict[int, list[float]] = field(default_factory=dict)

    def see(self, layer: int, indices: Tensor) -> None:
        """Take in the selection `[R, W]` of answering rows."""
        if self.positions and indices.shape[0]:
            wanted = torch.tensor(self.positions, dtype=indices.dtype, device=indices.device)
            hits = torch.stack([torch.isin(wanted, row).sum() for row in indices])
            for count in hits.tolist():
                self.count(layer, count)

    def count(self, layer: int, hits: int) -> None:
        """Take in how many of the evidence tokens one answering row selects."""
        if self.positions:
            share = np.float32(hits) / np.float32(len(self.positions))
            self.shares.setdefault(layer, []).append(float(share))

    def mean(self, layer: int) -> float | None:
        """Mean share over the answering rows of a layer; None where there is no evidence."""
        shares = self.shares.get(layer)
        return round(sum(shares) / len(shares), 6) if shares else None


def selection_figures(
    rows: Mapping[int, Sequence[RowFigures]],
    last: Mapping[int, RowFigures],
    evidence: EvidenceTracker,
    exact_below: int,
) -> dict[str, Any]:
    """The `selection` of a record, see `hisa_eval.run.store`.

    Args:
        rows: Compared rows of each layer.
        last: The last prompt row of each layer, the one that decides the first token.
        evidence: What became of the evidence.
        exact_below: Rows with at most this many visible keys are flat DSA's by construction.
    """
    layers = []
    for layer in sorted(rows):
        beyond = [row for row in rows[layer] if row.visible > exact_below]
        layers.append(
            {
                "layer": layer,
                "all": _summary(rows[layer]),
                "beyond": _summary(beyond),
                "iou_values": [round(row.iou, 4) for row in beyond],
                "last_row": {
                    "visible": last[layer].visible,
                    "iou": round(last[layer].iou, 6),
                    "recall": round(last[layer].recall, 6),
                },
                "evidence": evidence.mean(layer),
            }
        )
    return {"layers": layers}
