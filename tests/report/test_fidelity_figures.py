"""Figures of a comparison at few and at many cells: text stays inside, labels do not touch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hisa_eval.report.fidelity_rows import figures, scoped
from hisa_eval.report.figures.agreement import draw_by_distance, draw_by_layer, draw_by_length
from hisa_eval.report.figures.block_ranks import draw_block_ranks
from hisa_eval.report.figures.theme import house_style

MANY = [f"hisa:block_size={size},num_blocks={number}" for size in (32, 64) for number in (16, 32, 64)]


def rows(labels: list[str], layers: int, lengths: list[int]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "indexer": label,
                "layer": layer,
                "length": length,
                "context": f"{length}/{context}",
                "beyond": row > 1,
                "iou": rng.uniform(0.4, 1),
            }
            for label in labels
            for layer in range(layers)
            for length in lengths
            for context in range(2)
            for row in range(4)
        ]
    )


def assert_legible(figure: Figure) -> None:
    with house_style():
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    for axes in figure.axes:
        boxes = []
        for tick in axes.xaxis.get_major_ticks():
            if tick.label1.get_visible() and tick.label1.get_text():
                boxes.append(tick.label1.get_window_extent())
        for one, other in pairwise(boxes):
            assert one.x1 <= other.x0 + 0.5, "tick labels touch"
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= -1, text.get_text()
        assert box.x1 <= width + 1, text.get_text()
        assert -1 <= box.y0 < box.y1 <= height + 1


@pytest.mark.parametrize(
    ("labels", "layers", "lengths"),
    [
        (["hisa"], 1, [4096]),
        (["hisa", "block-sparse"], 2, [4096, 8192, 16384]),
        (MANY, 61, [2**n for n in range(11, 18)]),
    ],
)
def test_iou_figures_are_legible(labels: list[str], layers: int, lengths: list[int]) -> None:
    made = scoped(rows(labels, layers, lengths))
    data = figures(made, ["indexer", "layer", "length", "scope"], ["iou"], percentile=False)
    pooled = figures(
        made.assign(layer=-1), ["indexer", "layer", "length", "scope"], ["iou"], percentile=False
    )
    with house_style():
        assert_legible(draw_by_layer(labels, data))
        assert_legible(draw_by_length(labels, lengths, pd.concat([data, pooled])))


def test_rows_that_are_not_there_are_said_to_be_missing() -> None:
    made = scoped(rows(["hisa"], 2, [4096]).assign(beyond=False))
    data = figures(made, ["indexer", "layer", "length", "scope"], ["iou"], percentile=False)
    with house_style():
        figure = draw_by_layer(["hisa"], data, MANY[-1])
        assert_legible(figure)
    assert figure.get_supxlabel().replace("\n", " ").endswith(f"the model ran with {MANY[-1]}")
    assert [text.get_text() for text in figure.axes[1].texts] == ["no such rows"]


def test_other_figures_are_legible() -> None:
    distances = pd.DataFrame(
        [
            {"indexer": label, "length": length, "distance": edge, "mean": 0.8, "low": 0.7, "high": 0.9}
            for label in MANY
            for length in (4096, 131072)
            for edge in (0, 256, 1024, 4096, 16384, 65536)
        ]
    )
    ranks = pd.DataFrame(
        [
            {
                "layer": layer,
                "block_size": 128,
                "pooling": pooling,
                "rank": 1 + 37 * context,
                "distance": 1 + 13000 * context,
                "context": str(context),
            }
            for layer in range(61)
            for pooling in ("mean", "max", "best token")
            for context in range(10)
        ]
    )
    with house_style():
        assert_legible(draw_by_distance(MANY, distances))
        assert_legible(draw_block_ranks(ranks))
