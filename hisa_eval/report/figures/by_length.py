"""Line figures over the context length: accuracy, and the share of the answer's text that was selected."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hisa_eval.report.figures.legend import fitted_legend
from hisa_eval.report.figures.theme import series_styles
from hisa_eval.report.numbers import length_label
from hisa_eval.report.study import Study

_WIDE_LABEL = 4
MOST_PANELS = 4
"""With more probed layers than this, figures over length pool them."""


def draw_accuracy(study: Study, by_length: pd.DataFrame) -> Figure:
    """Mean score with its interval, all indexers, each a little beside the other.

    Args:
        study: What was run.
        by_length: Scores grouped by length.
    """
    width = min(max(3.4, 0.55 * len(study.lengths) + 0.8), 7.2)
    figure = Figure(figsize=(width, 2.7), layout="constrained")
    axes = figure.subplots()
    draw_lines(axes, study, by_length)
    length_axis(axes, study.lengths, width - 0.5)
    axes.set(ylim=(-0.04, 1.04), ylabel="score, 95% interval", xlabel="context length (tokens)")
    fitted_legend(figure, figure.axes[0].get_legend_handles_labels()[0], "upper")
    return figure


def draw_lines(axes: Axes, study: Study, by_length: pd.DataFrame) -> None:
    """A line with intervals for each series.

    Args:
        axes: Of the panel.
        study: What was run.
        by_length: Scores grouped by length, of this panel alone.
    """
    styles = series_styles(study.labels)
    step = min(0.12, 0.5 / max(1, len(study.labels)))
    for place, label in enumerate(study.labels):
        own = by_length[(by_length["indexer"] == label) & (by_length["n"] > 0)]
        x = positions(study.lengths, own["length"]) + (place - (len(study.labels) - 1) / 2) * step
        y = own["score"].to_numpy(float)
        spread = [y - own["ci_low"].to_numpy(float), own["ci_high"].to_numpy(float) - y]
        style = styles[label]
        axes.errorbar(
            x,
            y,
            yerr=np.clip(spread, 0, None),
            color=style.colour,
            marker=style.marker,
            markersize=4,
            linewidth=1.2,
            elinewidth=0.9,
            capsize=2,
            label=label,
        )


def draw_evidence(study: Study, shares: pd.DataFrame) -> Figure:
    """Share of the answer's tokens that was selected, a panel for each layer and one for the best layer.

    Args:
        study: What was run.
        shares: From `hisa_eval.report.fidelity.evidence`.
    """
    layers = sorted(int(layer) for layer in shares["layer"].dropna().unique())
    shown: list[int | None] = [*layers, None] if 1 < len(layers) <= MOST_PANELS else [None]
    figure, panels, width = panel_row(1, len(shown), len(study.lengths))
    styles = series_styles(study.labels)
    for axes, layer in zip(panels[0], shown, strict=True):
        part = shares[shares["layer"].isna() if layer is None else shares["layer"] == layer]
        for label in study.labels:
            own = part[part["indexer"] == label]
            style = styles[label]
            axes.plot(
                positions(study.lengths, own["length"]),
                own["evidence"].to_numpy(float),
                color=style.colour,
                marker=style.marker,
                markersize=4,
                linewidth=1.2,
                label=label,
            )
        length_axis(axes, study.lengths, width)
        axes.set_title("best layer" if layer is None else f"layer {layer}", loc="left")
        axes.set(ylim=(-0.04, 1.04), xlabel="context length (tokens)")
    panels[0][0].set_ylabel("answer tokens selected")
    fitted_legend(figure, figure.axes[0].get_legend_handles_labels()[0], "upper")
    return figure


def panel_row(down: int, across: int, n_places: int) -> tuple[Figure, np.ndarray, float]:
    """A figure of equal panels with common axes.

    Args:
        down: Rows of panels.
        across: Panels in a row.
        n_places: Ticks that the horizontal axis would like to have.

    Returns:
        The figure, its axes, and the width of a panel in inches.
    """
    width = max(min(max(2.0, 0.34 * n_places + 0.5), 3.4), 3.0 / across)
    figure = Figure(figsize=(across * width + 0.4, 1.9 * down + 0.7), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey="row")
    return figure, panels, width - 0.15


def positions(lengths: Sequence[int], wanted: pd.Series) -> np.ndarray:
    """Places of lengths on an axis where all are equally far apart."""
    return np.array([lengths.index(int(one)) for one in wanted], dtype=float)


def length_axis(axes: Axes, lengths: Sequence[int], width: float) -> None:
    """Ticks at every length, thinned or upright where they would touch.

    Args:
        axes: Of the panel.
        lengths: All of them.
        width: Of the panel, in inches.
    """
    labels = [length_label(length) for length in lengths]
    room = (width - 0.2) / max(1, len(lengths))
    widest = max(map(len, labels), default=1)
    upright = widest > _WIDE_LABEL and 0.075 * (widest + 1) > room
    every = max(1, math.ceil((0.14 if upright else 0.075 * (widest + 1)) / room))
    axes.set_xticks(range(0, len(lengths), every), labels[::every])
    if upright:
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_xlim(-0.4, len(lengths) - 0.6)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
