"""Numbers that the HISA paper states as text or in a table; what it only draws is not here.

Source: HISA, arXiv 2603.28458: Table 1, section 5 and abstract. Numbers of its first version (v1), whose IoU
figures later versions dropped, are known from summaries of it and are marked as such.
"""

from __future__ import annotations

from typing import NamedTuple

CATEGORIES = ("SQA", "MQA", "Sum", "FS", "Syn", "Code")

TABLE_1: dict[str, dict[str, tuple[float, ...]]] = {
    "DeepSeek-V3.2": {
        "dsa": (50.89, 52.66, 22.11, 62.24, 69.83, 48.56),
        "block-sparse": (48.36, 49.76, 21.90, 59.45, 68.67, 49.09),
        "hisa": (49.17, 51.96, 22.13, 61.62, 70.83, 48.99),
    },
    "GLM-5": {
        "dsa": (41.23, 27.89, 18.39, 63.20, 68.84, 56.53),
        "block-sparse": (38.35, 24.29, 16.95, 60.64, 60.49, 55.29),
        "hisa": (42.45, 27.62, 17.90, 63.78, 69.35, 56.79),
    },
}
"""LongBench in per cents by model and indexer, in the order of `CATEGORIES`; the average is their mean."""


class Speedup(NamedTuple):
    """How many times faster HISA's indexer is than DSA's.

    Attributes:
        mode: Budget of blocks, `fixed` (m = 64) or `ratio` (4:1).
        context: Context length in tokens.
        factor: Times faster.
        source: Where the paper says so.
    """

    mode: str
    context: int
    factor: float
    source: str


SPEEDUPS = (
    Speedup("fixed", 65_536, 3.75, "Figure 2a"),
    Speedup("ratio", 65_536, 2.16, "Figure 2b"),
    Speedup("fixed", 32_768, 2.0, "v1, about"),
    Speedup("fixed", 131_072, 4.0, "v1, about"),
)
DSA_MS = 5.6
"""Milliseconds of DSA's indexer for 1,024 queries at 64K on an A100."""
MLA_MS = 1.6
"""Milliseconds of the sparse attention behind it, about, at every length."""
QUERIES = 1024
GPU = "A100"

MEAN_IOU = 0.99
"""v1: the mean IoU with DSA's selection lies above this in every layer and length class."""
LOWEST_IOU_BY_LAYER = 0.959
"""v1: the lowest IoU of any layer, about."""
LOWEST_IOU_BY_LENGTH = 0.90
"""v1: the lowest IoU of a length class lies above this."""

SENSITIVITY = ("hisa:block_size=64,num_blocks=128", "hisa", "hisa:block_size=256,num_blocks=32")
"""Figure 5's three ways to hold 8,192 candidates, as labels of indexers."""


def average(scores: tuple[float, ...]) -> float:
    """The unweighted mean over categories, halves rounded up as in the paper."""
    return round(sum(scores) / len(scores) + 1e-9, 2)
