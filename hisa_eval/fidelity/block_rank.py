"""Why an answer's block is missed: how far down the block ranking it stands, and what would have kept it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hisa_eval.fidelity.frame import Frame
from hisa_kernels import block_scores, index_scores

BLOCK_SIZES = (32, 64, 128, 256)
POOLINGS = ("mean", "max", "best token")
"""`best token` ranks a block by its best key's own score: what no pooled key can beat."""


def block_ranks(frame: Frame, topk: int) -> list[dict[str, Any]]:
    """Rank of the answer's blocks for the answering row, by block size and pooling.

    Args:
        frame: With evidence; of its rows the last one, which answers, is looked at.
        topk: Token budget k.

    Returns:
        For each block size and pooling: `blocks` visible; `rank` of the best-placed block that holds a token
        of the answer (1 is the best; ties go to the lower block); `token_rank` of the answer's best token
        among all tokens, with `in_topk`; and its `distance` in tokens. Empty without evidence.

    Source: HISA, arXiv 2603.28458, equations 5 and 6, without forced blocks.
    """
    if not frame.evidence:
        return []
    own = frame.rows(torch.tensor([-1], device=frame.q.device))
    visible = int(own.ends[0])
    inputs = own.q, own.k, own.weights, own.starts, own.ends
    tokens = index_scores(*inputs)[0]
    evidence = torch.tensor([e for e in frame.evidence if e < visible], device=tokens.device)
    if not len(evidence):
        return []
    best = int(evidence[tokens[evidence].argmax()])
    token_rank = 1 + int((tokens[:visible] > tokens[evidence].max()).sum())
    found = []
    for size in BLOCK_SIZES:
        for pooling in POOLINGS:
            scores = _best_tokens(tokens[:visible], size)
            if pooling != "best token":
                scores = block_scores(*inputs, block_size=size, pooling=pooling)[0]
            rank = min(_rank(scores, int(block)) for block in (evidence // size).unique())
            found.append(
                {
                    "layer": frame.layer,
                    "block_size": size,
                    "pooling": pooling,
                    "blocks": len(scores),
                    "rank": rank,
                    "token_rank": token_rank,
                    "distance": visible - 1 - best,
                    "in_topk": token_rank <= topk,
                }
            )
    return found


def _best_tokens(scores: Tensor, size: int) -> Tensor:
    padded = torch.nn.functional.pad(scores, (0, -len(scores) % size), value=-torch.inf)
    return padded.view(-1, size).amax(1)


def _rank(scores: Tensor, block: int) -> int:
    """1 for the best block; of equal ones the lower stands first."""
    better = int((scores > scores[block]).sum())
    return 1 + better + int((scores[:block] == scores[block]).sum())
