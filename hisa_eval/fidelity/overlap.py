"""Overlap of two selections, row by row."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Overlap(NamedTuple):
    """Set overlap per row, all `[M]` f32.

    Attributes:
        iou: |A ∩ B| / |A ∪ B|, 1 where both are empty.
        recall: |A ∩ B| / |B| with B the reference, 1 where the reference is empty.
    """

    iou: Tensor
    recall: Tensor


def overlap(indices: Tensor, reference: Tensor) -> Overlap:
    """Compare two selections of the same queries as sets.

    Args:
        indices: Selected keys `[M, W]` int32, ascending, −1 at the end where empty.
        reference: Flat DSA's selection `[M, V]` int32, likewise.

    Returns:
        IoU and recall per row.

    Raises:
        ValueError: the row counts differ.

    Source: set IoU of the selected tokens per query, as in arXiv 2603.28458v1 ("IoU with DSA").
    """
    if indices.shape[0] != reference.shape[0]:
        raise ValueError(
            f"selections of {indices.shape[0]} and {reference.shape[0]} rows – compare the same queries"
        )
    sizes = (indices >= 0).sum(1)
    wanted = (reference >= 0).sum(1)
    if indices.shape[1] == 0 or reference.shape[1] == 0:
        common = torch.zeros_like(sizes)
    else:
        # Empty slots sort behind every key, so that the rows stay ascending.
        beyond = torch.iinfo(torch.int32).max
        ordered = torch.where(reference < 0, beyond, reference).contiguous()
        place = torch.searchsorted(ordered, indices.contiguous()).clamp_(max=ordered.shape[1] - 1)
        common = ((ordered.gather(1, place) == indices) & (indices >= 0)).sum(1)
    union = sizes + wanted - common
    iou = torch.where(union > 0, common / union.clamp(min=1), 1.0)
    recall = torch.where(wanted > 0, common / wanted.clamp(min=1), 1.0)
    return Overlap(iou.float(), recall.float())
