"""The rank of an answer's block against a ranking by hand."""

from __future__ import annotations

from dataclasses import replace

import torch

from hisa_eval.fidelity.block_rank import BLOCK_SIZES, POOLINGS, block_ranks
from hisa_eval.fidelity.synthetic import make_frame


def test_ranks_equal_a_sort_by_hand() -> None:
    frame = make_frame("spikes", 1000, rows=2, heads=2, dim=8, seed=4)
    found = {(one["block_size"], one["pooling"]): one for one in block_ranks(frame, 16)}
    assert set(found) == {(size, pooling) for size in BLOCK_SIZES for pooling in POOLINGS}
    q, weights = frame.q[-1], frame.weights[-1]

    def scores(keys: torch.Tensor) -> torch.Tensor:
        return torch.relu(keys @ q.T) @ weights

    tokens = scores(frame.k)
    for (size, pooling), one in found.items():
        blocks = frame.k.split(size)
        if pooling == "best token":
            ranking = torch.stack([tokens[i * size : (i + 1) * size].max() for i in range(len(blocks))])
        else:
            pooled = [b.mean(0) if pooling == "mean" else b.amax(0) for b in blocks]
            ranking = scores(torch.stack(pooled))
        order = ranking.sort(descending=True, stable=True).indices.tolist()
        assert one["rank"] == 1 + min(order.index(e // size) for e in frame.evidence)
        assert one["blocks"] == len(blocks)
        assert one["token_rank"] == 1 + int((tokens > tokens[list(frame.evidence)].max()).sum())


def test_a_context_without_an_answer_has_no_rank() -> None:
    frame = make_frame("gaussian", 300, rows=2, heads=2, dim=8, seed=4)
    assert block_ranks(frame, 16) == []
    assert block_ranks(replace(frame, evidence=(299,), ends=frame.ends.clamp(max=299)), 16) == []
