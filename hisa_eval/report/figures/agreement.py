"""Agreement of selections with flat DSA's: IoU by layer and by length, recall by distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hisa_eval.report.figures.by_length import MOST_PANELS, length_axis, panel_row
from hisa_eval.report.figures.legend import fitted_legend, note_below
from hisa_eval.report.figures.theme import INK, Style, series_styles
from hisa_eval.report.numbers import length_label

SCOPES = (("all", "all rows"), ("beyond", "rows beyond m·B"))
_KINDS: tuple[tuple[str, Any, str], ...] = (
    ("mean", "-", "mean, 95% interval"),
    ("p5", (0, (4, 1.5)), "5th percentile"),
    ("minimum", ":", "lowest"),
)

MOST_WITH_EXTREMES = 6
"""Indexers up to which percentiles and lowest rows are drawn beside the means: more cannot be told apart."""


def draw_by_layer(labels: Sequence[str], data: pd.DataFrame, run_with: str = "dsa") -> Figure:
    """IoU over layers: a column for each length, a row for each set of rows.

    Args:
        labels: Indexers to draw.
        data: IoU figures by `indexer`, `layer`, `length` and `scope`.
        run_with: The indexer that ran the model.
    """
    lengths = _spread(sorted(int(one) for one in data["length"].unique()))
    layers = sorted(int(one) for one in data["layer"].unique())
    figure, panels, _ = panel_row(2, len(lengths), max(4, len(layers) // 4))
    styles = series_styles(labels)
    for column, length in enumerate(lengths):
        for row, (scope, meaning) in enumerate(SCOPES):
            axes, part = panels[row][column], data[(data["length"] == length) & (data["scope"] == scope)]
            for place, label in enumerate(labels):
                own = part[part["indexer"] == label].sort_values("layer")
                _lines(
                    axes,
                    own["layer"].to_numpy(float) + _beside(place, labels),
                    own,
                    styles[label],
                    _kinds(labels),
                )
            _frame(axes, data, labels, empty=not len(part[part["indexer"].isin(labels)]))
            every = max(1, -(-len(layers) // 8))
            axes.set_xticks(layers[::every], [str(layer) for layer in layers[::every]])
            axes.set_xlim(layers[0] - 0.4, layers[-1] + 0.4)
            if column == 0:
                axes.set_ylabel(f"IoU with DSA\n{meaning}")
        panels[0][column].set_title(length_label(length), loc="left")
        panels[1][column].set_xlabel("layer")
    _legend(figure, styles, data, run_with)
    return figure


def draw_by_length(
    labels: Sequence[str], lengths: Sequence[int], data: pd.DataFrame, run_with: str = "dsa"
) -> Figure:
    """IoU over the context length: a column for each layer, or one of all where there are many.

    Args:
        labels: Indexers to draw.
        lengths: All lengths of the run.
        data: IoU figures by `indexer`, `layer`, `length` and `scope`; `layer` −1 stands for all pooled.
        run_with: The indexer that ran the model.
    """
    layers = sorted(int(one) for one in data["layer"].unique() if one >= 0)
    shown = layers if 1 < len(layers) <= MOST_PANELS else [-1]
    figure, panels, width = panel_row(2, len(shown), len(lengths))
    styles = series_styles(labels)
    places = {length: place for place, length in enumerate(lengths)}
    for column, layer in enumerate(shown):
        for row, (scope, meaning) in enumerate(SCOPES):
            axes, part = panels[row][column], data[(data["layer"] == layer) & (data["scope"] == scope)]
            for place, label in enumerate(labels):
                own = part[part["indexer"] == label].sort_values("length")
                x = np.array([places[int(one)] for one in own["length"]], dtype=float)
                _lines(axes, x + _beside(place, labels), own, styles[label], _kinds(labels))
            length_axis(axes, lengths, width)
            _frame(axes, data, labels, empty=not len(part[part["indexer"].isin(labels)]))
            if column == 0:
                axes.set_ylabel(f"IoU with DSA\n{meaning}")
        panels[0][column].set_title(f"layer {layer}" if layer >= 0 else "all layers", loc="left")
        panels[1][column].set_xlabel("context length (tokens)")
    _legend(figure, styles, data, run_with)
    return figure


def draw_by_distance(labels: Sequence[str], data: pd.DataFrame) -> Figure:
    """Recall of flat DSA's keys over their distance, a panel for each length.

    Args:
        labels: Indexers to draw.
        data: `mean`, `low` and `high` by `indexer`, `length` and `distance` (where its class begins).
    """
    lengths = _spread(sorted(int(one) for one in data["length"].unique()))
    classes = sorted(int(one) for one in data["distance"].unique())
    figure, panels, _ = panel_row(1, len(lengths), len(classes))
    styles = series_styles(labels)
    for axes, length in zip(panels[0], lengths, strict=True):
        for place, label in enumerate(labels):
            own = data[(data["length"] == length) & (data["indexer"] == label)].sort_values("distance")
            x = np.array([classes.index(int(one)) for one in own["distance"]]) + _beside(place, labels)
            _errors(axes, x, own, styles[label])
        axes.set_xticks(range(len(classes)), [length_label(one) for one in classes])
        axes.set_xlim(-0.4, len(classes) - 0.6)
        axes.set(ylim=(-0.04, 1.04), xlabel="distance from (tokens)")
        axes.set_title(length_label(length), loc="left")
        _tidy(axes)
    panels[0][0].set_ylabel("recall of DSA's keys,\n95% interval")
    fitted_legend(figure, _handles(styles), "upper")
    return figure


def _kinds(labels: Sequence[str]) -> tuple[tuple[str, Any, str], ...]:
    """What is drawn of each indexer."""
    return _KINDS if len(labels) <= MOST_WITH_EXTREMES else _KINDS[:1]


def _lines(
    axes: Axes, x: np.ndarray, own: pd.DataFrame, style: Style, kinds: Sequence[tuple[str, Any, str]]
) -> None:
    for kind, dash, _ in kinds:
        if kind == "mean":
            _errors(axes, x, own, style)
            continue
        axes.plot(
            x,
            own[kind].to_numpy(float),
            color=style.colour,
            linestyle=dash,
            linewidth=1.0,
            marker=style.marker,
            markersize=2.6,
            markerfacecolor="none",
            markeredgewidth=0.7,
        )


def _errors(axes: Axes, x: np.ndarray, own: pd.DataFrame, style: Style) -> None:
    mean = own["mean"].to_numpy(float)
    spread = np.array([mean - own["low"].to_numpy(float), own["high"].to_numpy(float) - mean])
    axes.errorbar(
        x,
        mean,
        yerr=np.nan_to_num(np.clip(spread, 0, None)),
        color=style.colour,
        marker=style.marker,
        markersize=3.6,
        linewidth=1.3,
        elinewidth=0.9,
        capsize=2,
    )


def _beside(place: int, labels: Sequence[str]) -> float:
    """A small shift, so that intervals of several indexers do not cover each other."""
    return (place - (len(labels) - 1) / 2) * min(0.08, 0.4 / max(1, len(labels)))


def _frame(axes: Axes, data: pd.DataFrame, labels: Sequence[str], *, empty: bool) -> None:
    least = "minimum" if len(_kinds(labels)) > 1 else "mean"
    lowest = float(data[least].min()) if len(data) else 0.0
    start = np.floor((lowest - 0.01) * 10) / 10
    axes.set_ylim(start if start >= 0.5 else -0.04, 1.02 if start >= 0.5 else 1.04)
    _tidy(axes)
    if empty:
        axes.text(0.5, 0.5, "no such rows", transform=axes.transAxes, ha="center", va="center", color=INK)


def _tidy(axes: Axes) -> None:
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _handles(styles: dict[str, Style]) -> list[Line2D]:
    return [
        Line2D([], [], color=one.colour, marker=one.marker, markersize=3.6, linewidth=1.3, label=label)
        for label, one in styles.items()
    ]


def _legend(figure: Figure, styles: dict[str, Style], data: pd.DataFrame, run_with: str) -> None:
    kinds = [
        Line2D([], [], color=INK, linestyle=dash, linewidth=1.1, label=text)
        for _, dash, text in _kinds(list(styles))
    ]
    fitted_legend(figure, [*_handles(styles), *kinds], "upper")
    counts = data[data["scope"] == "all"]
    if len(counts):
        few, many = int(counts["n_rows"].min()), int(counts["n_rows"].max())
        rows = f"{few:,}" if few == many else f"{few:,} to {many:,}"
        contexts = int(counts["n_contexts"].max())
        ran = "" if run_with == "dsa" else f"; the model ran with {run_with}"
        note_below(figure, f"{rows} rows of {contexts} context{'s' if contexts != 1 else ''} a point{ran}")


def _spread(lengths: Sequence[Any]) -> list[int]:
    """At most as many as there is room for, evenly spread, first and last among them."""
    places = np.linspace(0, len(lengths) - 1, min(len(lengths), MOST_PANELS)).round().astype(int)
    return [int(lengths[place]) for place in places]
