"""Why HISA misses an answer: how its block ranks, and which pooling or budget would have kept it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hisa_eval.report.fidelity_rows import records
from hisa_eval.report.numbers import length_label, share
from hisa_eval.report.table import Cell, Table
from hisa_eval.stats.interval import mean_interval

BUDGETS = (16, 32, 64, 128, 256)


def rank_table(ranks: pd.DataFrame) -> Table | None:
    """Rank of the answers' blocks by inputs, layer, length, block size and pooling; None without answers.

    Args:
        ranks: As in `hisa_eval.report.fidelity_rows.Compared.ranks`.
    """
    if not len(ranks):
        return None
    by = ["inputs", "layer", "length", "block_size", "pooling"]
    data = pd.DataFrame(
        [
            {**dict(zip(by, key, strict=True)), **_figures(group)}
            for key, group in ranks.groupby(by, sort=True)
        ]
    )
    rows = [
        [
            Cell(str(row["inputs"])),
            Cell(str(row["layer"]), row["layer"]),
            Cell(length_label(row["length"]), row["length"]),
            Cell(str(row["block_size"]), row["block_size"]),
            Cell(str(row["pooling"])),
            Cell(str(row["n"]), row["n"]),
            Cell(f"{row['token_rank']:,.0f}", row["token_rank"]),
            Cell(f"{row['rank']:,.0f} of {row['blocks']:,.0f}", row["rank"]),
            Cell(f"{row['worst']:,.0f}", row["worst"]),
            *(Cell(_kept(row, budget), row[f"kept_{budget}"]) for budget in BUDGETS),
        ]
        for row in records(data)
    ]
    return Table(
        "block-ranks",
        "Where the answer's block stands among the blocks of its context",
        [
            *("inputs", "layer", "length", "B", "pooling", "contexts"),
            *("token rank", "block rank", "worst"),
            *(f"kept by {budget * 128 // 1024}K" for budget in BUDGETS),
        ],
        rows,
        data,
        [
            "Of the row that answers, without forced blocks, medians over contexts. Token rank: place of the "
            "answer's best token among all tokens. Block rank: place of the best of the blocks that hold it. "
            "Best token: blocks ranked by their best key's own score, the most that any pooling could know.",
            "Kept by 8K: share of contexts whose answer would be among 8,192 candidates (m = 8,192 / B); "
            "Wilson intervals.",
        ],
        n_keys=5,
    )


def _figures(group: pd.DataFrame) -> dict[str, Any]:
    size = int(group["block_size"].iloc[0])
    found: dict[str, Any] = {
        "n": len(group),
        "token_rank": float(group["token_rank"].median()),
        "rank": float(group["rank"].median()),
        "worst": int(group["rank"].max()),
        "blocks": float(group["blocks"].median()),
    }
    for budget in BUDGETS:
        kept = (group["rank"] <= budget * 128 // size).astype(float)
        mean, low, high, _ = mean_interval(kept.tolist())
        found |= {f"kept_{budget}": mean, f"kept_{budget}_low": low, f"kept_{budget}_high": high}
    return found


def _kept(row: dict[str, Any], budget: int) -> str:
    mean, low, high = (row[f"kept_{budget}{end}"] for end in ("", "_low", "_high"))
    return f"{share(mean)} [{share(low)}, {share(high)}]"
