"""Top-k stages over a score matrix, to be put behind anybody's scores."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

TopK = Callable[[Any], Callable[[SimpleNamespace], None]]
"""From inputs with `case`, `starts` and `ends`: a stage that reads `state.scores`, writes `state.indices`."""


def masked_topk(inputs: Any) -> Callable[[SimpleNamespace], None]:
    """`torch.topk`; scores must be −inf where they may not be chosen."""
    k = min(inputs.case.topk, inputs.case.context)
    always_full = int((inputs.ends - inputs.starts).min()) >= k

    def run(state: SimpleNamespace) -> None:
        best = torch.topk(state.scores, k, dim=1)
        state.indices = best.indices
        if not always_full:
            state.indices = best.indices.masked_fill(best.values == -torch.inf, -1)

    return run
