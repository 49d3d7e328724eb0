"""How far down the block ranking an answer's block stands."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hisa_eval.report.figures.by_length import MOST_PANELS
from hisa_eval.report.figures.legend import fitted_legend, note_below
from hisa_eval.report.figures.theme import INK, Style, series_styles
from hisa_eval.report.numbers import length_label

BLOCK = 128
BUDGET = 64


def draw_block_ranks(ranks: pd.DataFrame) -> Figure:
    """Rank of the answer's block by distance, a panel for each layer, a colour for each pooling.

    Args:
        ranks: As in `hisa_eval.report.fidelity_rows.Compared.ranks`.
    """
    own = ranks[ranks["block_size"] == BLOCK]
    layers = sorted(int(one) for one in own["layer"].unique())
    shown = layers[:: max(1, -(-len(layers) // MOST_PANELS))]
    figure = Figure(figsize=(2.6 * len(shown) + 0.5, 2.7), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    styles: dict[str, Style] = series_styles(list(own["pooling"].unique()))
    for axes, layer in zip(panels, shown, strict=True):
        for pooling, style in styles.items():
            part = own[(own["layer"] == layer) & (own["pooling"] == pooling)]
            axes.plot(
                np.maximum(part["distance"].to_numpy(float), 1),
                part["rank"].to_numpy(float),
                linestyle="none",
                marker=style.marker,
                markersize=4,
                color=style.colour,
                markerfacecolor="none",
            )
        axes.axhline(BUDGET, color=INK, linewidth=0.9, linestyle=(0, (4, 1.5)))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        _ticks(axes, own)
        axes.set_title(f"layer {layer}", loc="left")
        axes.set_xlabel("answer's distance (tokens)")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"rank of the answer's\nblock of {BLOCK} (1 = best)")
    handles = [
        Line2D(
            [], [], linestyle="none", marker=one.marker, color=one.colour, markerfacecolor="none", label=label
        )
        for label, one in styles.items()
    ]
    handles.append(Line2D([], [], color=INK, linestyle=(0, (4, 1.5)), linewidth=0.9, label=f"m = {BUDGET}"))
    fitted_legend(figure, handles, "upper")
    note_below(figure, f"{own['context'].nunique()} contexts; below the line the block is kept")
    return figure


def _ticks(axes: Axes, own: pd.DataFrame) -> None:
    far = int(np.ceil(np.log2(max(2, own["distance"].max()))))
    near = int(np.floor(np.log2(max(1, own["distance"].min()))))
    step = max(1, -(-(far - near) // 4))
    places = list(range(near, far + 1, step))
    axes.set_xticks([2**one for one in places], [length_label(2**one) for one in places])
    top = int(np.ceil(np.log2(max(BUDGET * 2, own["rank"].max()))))
    axes.set_yticks([2**one for one in range(0, top + 1, 2)], [str(2**one) for one in range(0, top + 1, 2)])
    axes.set_xlim(2.0**near * 0.8, 2.0**far * 1.4)
    axes.set_ylim(0.8, 2.0**top * 1.2)
