"""The correctness gate: no time is worth anything for a choice that is wrong.

A subset of rows is held against the f32 reference operators. A token that differs only where two reference
scores are (almost) equal is a tie; everything else must agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from hisa_kernels import block_scores, index_scores
from hisa_kernels.measure.case import Case
from hisa_kernels.measure.inputs import Inputs

ROWS = 32
"""Rows that are compared, evenly spread, first and last included."""

LEAST = 0.999
"""Share of the choice that must agree outside ties."""

TIE = 1e-3
"""Half-width of a tie of token scores, in standard deviations of the row's scores: the accumulation of the
FP8 matrix units is coarser than f32 by about that much."""


@dataclass(frozen=True)
class Verdict:
    """What the gate found.

    Attributes:
        passed: Whether times may be shown.
        reason: What is wrong, if something is.
        figures: Shares that agree, as measured.
    """

    passed: bool
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def compared_rows(case: Case, device: str) -> Tensor:
    """The rows of a case that are compared, int64."""
    return torch.linspace(0, case.queries - 1, min(ROWS, case.queries), device=device).long().unique()


@dataclass(frozen=True)
class Agreement:
    """How a choice compares with the reference's, averages over rows.

    Attributes:
        overlap: Share of the reference's choice that was chosen, ties and all.
        outside_ties: The same over what is no tie, or the share of chosen columns that are not clearly
            worse than the last one of the reference, whichever is smaller.
    """

    overlap: float
    outside_ties: float


def agreement(scores: Tensor, chosen: Tensor, quota: Tensor, tie: float) -> Agreement:
    """Compare a choice of columns with the best ones.

    Args:
        scores: Reference scores `[r, n]` f32, −inf where a column may not be chosen.
        chosen: Which columns were chosen `[r, n]` bool.
        quota: How many each row chooses `[r]`.
        tie: Half-width of a tie, in standard deviations of a row's finite scores.
    """
    finite = torch.isfinite(scores)
    count = finite.sum(1, keepdim=True).clamp(min=1)
    plain = scores.masked_fill(~finite, 0.0)
    mean = plain.sum(1, keepdim=True) / count
    spread = (((plain - mean) ** 2).masked_fill(~finite, 0.0).sum(1, keepdim=True) / count).sqrt()
    quota = torch.minimum(quota, (scores > -torch.inf).sum(1)).clamp(min=1)
    order = scores.argsort(dim=1, descending=True, stable=True)
    best = torch.zeros_like(chosen).scatter_(
        1, order, torch.arange(scores.shape[1], device=scores.device)[None] < quota[:, None]
    )
    last = scores.gather(1, order.gather(1, (quota - 1)[:, None]))
    certain = scores > last + tie * spread
    wrong = chosen & (scores < last - tie * spread)
    kept = (chosen & certain).sum(1) / certain.sum(1).clamp(min=1)
    kept = torch.where(certain.any(1), kept, torch.ones_like(kept))
    clean = 1 - wrong.sum(1) / quota
    return Agreement(((chosen & best).sum(1) / quota).mean().item(), torch.minimum(kept, clean).mean().item())


class Truth:
    """The reference's own scores for some rows of a case; computed when first needed.

    Args:
        inputs: All of the case.
        device: Where they live.
    """

    def __init__(self, inputs: Inputs, device: str) -> None:
        self.case = inputs.case
        self.index = compared_rows(inputs.case, device)
        self.inputs = inputs.rows(self.index)
        self._known = inputs.known

    def scores(self) -> Tensor:
        """Token scores `[r, N]` f32, −inf where invisible."""
        if "scores" not in self._known:
            own = self.inputs
            self._known["scores"] = index_scores(*own.scoring, k_scale=own.k_scale, backend="reference")
        return self._known["scores"]

    def blocks(self) -> Tensor:
        """Block scores `[r, blocks]` f32 with first and last visible block forced, −inf where invisible."""
        if "blocks" not in self._known:
            own = self.inputs
            found = block_scores(
                *own.scoring,
                block_size=self.case.block_size,
                k_scale=own.k_scale,
                backend="reference",
            )
            last = (own.ends.long() - 1) // self.case.block_size
            found[:, 0] = torch.inf
            found.scatter_(1, last[:, None], torch.inf)
            self._known["blocks"] = found
        return self._known["blocks"]

    def budget(self) -> Tensor:
        """Blocks that each row may choose `[r]` int64."""
        return torch.full_like(self.inputs.ends, self.case.most_blocks, dtype=torch.int64)

    def judge(self, state: SimpleNamespace, block_tolerance: float) -> Verdict:
        """Hold what a pass left against the reference.

        Args:
            state: From `run_pass`.
            block_tolerance: Of the contestant.
        """
        case = self.case
        indices = state.indices[self.index].long()
        visible = (self.inputs.ends - self.inputs.starts).long()
        scores = self.scores()
        there = indices >= 0
        if bool((indices >= self.inputs.ends.long()[:, None]).any()):
            return Verdict(False, "a chosen position is not visible")
        chosen = _marked(indices, scores.shape[1])
        if bool((chosen.sum(1) != there.sum(1)).any()):
            return Verdict(False, "a position was chosen twice")
        quota = visible.clamp(max=case.topk)
        figures: dict[str, Any] = {"rows": len(self.index)}
        blocks_ok = True
        if case.mode != "flat" and case.prunes:
            block_truth, budget = self.blocks(), self.budget()
            hidden = block_truth == -torch.inf
            best = _best(block_truth, budget)
            used = best
            own = getattr(state, "blocks", None)
            if own is not None:
                # A block that a row cannot see holds no token of its own: choosing it costs time only.
                used = _marked(own[self.index].long(), block_truth.shape[1]) & ~hidden
                found = agreement(block_truth, used, budget, block_tolerance)
                figures |= {"blocks_overlap": found.overlap, "blocks_outside_ties": found.outside_ties}
                figures["block_tie"] = block_tolerance
                blocks_ok = found.outside_ties >= LEAST
            whole = agreement(_inside(scores, best, case.block_size), chosen, quota, TIE)
            figures["overlap_with_f32_pipeline"] = whole.overlap
            scores = _inside(scores, used, case.block_size)
        quota = torch.minimum(quota, (scores > -torch.inf).sum(1))
        found = agreement(scores, chosen, quota, TIE)
        figures |= {"overlap": found.overlap, "outside_ties": found.outside_ties}
        if bool((there.sum(1) != quota).any()):
            row = int((there.sum(1) != quota).int().argmax())
            return Verdict(False, f"{int(there[row].sum())} chosen where {int(quota[row])} can be", figures)
        if not blocks_ok:
            return Verdict(
                False, f"blocks agree to {figures['blocks_outside_ties']:.4%} outside ties", figures
            )
        if found.outside_ties < LEAST:
            return Verdict(False, f"tokens agree to {found.outside_ties:.4%} outside ties", figures)
        return Verdict(True, "", figures)


def _marked(indices: Tensor, width: int) -> Tensor:
    """Positions as a mask `[r, width]`; negative ones and those beyond the width are skipped."""
    mask = torch.zeros((len(indices), width + 1), dtype=torch.bool, device=indices.device)
    place = torch.where((indices >= 0) & (indices < width), indices, width)
    return mask.scatter_(1, place, torch.ones_like(place, dtype=torch.bool))[:, :width]


def _best(scores: Tensor, quota: Tensor) -> Tensor:
    """The best columns of each row as a mask; ties go to the lower column."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    first = torch.arange(scores.shape[1], device=scores.device)[None] < quota[:, None]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, first) & (scores > -torch.inf)


def _inside(scores: Tensor, blocks: Tensor, block_size: int) -> Tensor:
    """Token scores with −inf outside some blocks."""
    mask = blocks.repeat_interleave(block_size, dim=1)
    width = scores.shape[1]
    if mask.shape[1] < width:
        mask = torch.nn.functional.pad(mask, (0, width - mask.shape[1]))
    return scores.masked_fill(~mask[:, :width], -torch.inf)
