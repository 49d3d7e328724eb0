"""The checks that pass the operators reject each known mistake."""

from __future__ import annotations

import kernel_oracles as wrong
import pytest
import torch
from kernel_checks import CHECKS

SCORING = ["index_scores", "block_scores", "candidate_scores", "select_flat", "select_blocks", "select_hisa"]
CAUGHT = {
    wrong.TiesToHigher: ["topk_indices", "select_flat", "select_blocks", "select_hisa"],
    wrong.NoRelu: SCORING,
    wrong.NoGates: SCORING,
    wrong.EndInclusive: ["index_scores", "topk_indices", "select_flat", "select_hisa", "select_block_sparse"],
    wrong.EndShort: ["index_scores", "topk_indices", "select_flat", "select_hisa", "select_block_sparse"],
    wrong.TailOverBlockSize: ["pool_keys", "block_scores", "select_blocks", "select_hisa"],
    wrong.LeakyTail: ["block_scores", "select_blocks", "select_hisa", "select_block_sparse"],
    wrong.BlocksFromZero: ["block_scores", "candidate_scores", "select_hisa", "select_block_sparse"],
    wrong.ForcedOnTop: ["select_blocks", "select_hisa", "select_block_sparse"],
    wrong.LastBeforeFirst: ["select_blocks", "select_hisa", "select_block_sparse"],
    wrong.RatioRoundedDown: ["select_blocks"],
}


@pytest.mark.parametrize(
    ("mistake", "operator"),
    [(mistake, operator) for mistake, operators in CAUGHT.items() for operator in operators],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_check_rejects_known_mistake(mistake: type[wrong.Oracle], operator: str) -> None:
    with pytest.raises(AssertionError):
        CHECKS[operator](mistake(), torch.device("cpu"))


@pytest.mark.parametrize("operator", CHECKS)
def test_check_accepts_the_oracle(operator: str) -> None:
    CHECKS[operator](wrong.Oracle(), torch.device("cpu"))
