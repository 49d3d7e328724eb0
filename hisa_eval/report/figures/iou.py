"""Agreement with flat DSA's selection, by length and by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hisa_eval.report.figures.by_length import MOST_PANELS, length_axis, panel_row, positions
from hisa_eval.report.figures.legend import fitted_legend, fitted_title, note_below
from hisa_eval.report.figures.theme import COLOURS, INK, Style, series_styles
from hisa_eval.report.numbers import length_label
from hisa_eval.report.study import Study

_KINDS = (("mean IoU", "iou_{}"), ("lowest IoU", "iou_min_{}"))
_MOST_LENGTHS = 6
_DASHES = (("all", "-"), ("beyond", (0, (3, 1.5))))


def draw_iou_by_length(study: Study, figures: pd.DataFrame) -> Figure:
    """Mean and lowest IoU over length, a column of panels for each layer.

    Args:
        study: What was run.
        figures: From `hisa_eval.report.fidelity.fidelity`.
    """
    layers = sorted(figures["layer"].unique())
    pooled = len(layers) > MOST_PANELS
    groups = [(f"{len(layers)} layers", figures)] if pooled else _by_layer(figures, layers)
    figure, panels, width = panel_row(2, len(groups), len(study.lengths))
    labels = _compared(study, figures)
    styles = series_styles(study.labels)
    for column, (title, part) in enumerate(groups):
        for row, (_, name) in enumerate(_KINDS):
            axes = panels[row][column]
            axes.axhline(1, color=INK, linewidth=0.8)
            for label in labels:
                own = _pool(part[part["indexer"] == label], "length")
                _lines(axes, own, positions(study.lengths, own["length"]), name, styles[label])
            length_axis(axes, study.lengths, width)
            axes.set_ylim(_lowest(figures), 1.02)
        panels[0][column].set_title(title, loc="left")
        panels[1][column].set_xlabel("context length (tokens)")
    _finish(figure, panels, labels, styles, _no_rows(figures, labels))
    return figure


def draw_iou_by_layer(study: Study, figures: pd.DataFrame) -> Figure:
    """Mean and lowest IoU over the layers, a column of panels for each indexer and a shade for each length.

    Args:
        study: What was run.
        figures: From `hisa_eval.report.fidelity.fidelity`.
    """
    labels = _compared(study, figures)
    layers = sorted(int(layer) for layer in figures["layer"].unique())
    figure, panels, width = panel_row(2, len(labels), max(4, len(layers) // 4))
    lengths = _spread(sorted(int(length) for length in figures["length"].unique()))
    styles = {
        length_label(length): Style(COLOURS[0], "o", _strength(place, len(lengths)))
        for place, length in enumerate(lengths)
    }
    for column, label in enumerate(labels):
        for row, (_, name) in enumerate(_KINDS):
            axes = panels[row][column]
            axes.axhline(1, color=INK, linewidth=0.8)
            for length in lengths:
                own = figures[(figures["indexer"] == label) & (figures["length"] == length)]
                _lines(axes, own, own["layer"].to_numpy(float), name, styles[length_label(length)])
            axes.set(ylim=(_lowest(figures), 1.02), xlim=(layers[0] - 0.4, layers[-1] + 0.4))
            every = max(1, -(-len(layers) // 8))
            axes.set_xticks(layers[::every], [str(layer) for layer in layers[::every]])
            axes.grid(axis="y")
            axes.spines[["top", "right"]].set_visible(False)
        panels[0][column].set_title(fitted_title(label, width), loc="left")
        panels[1][column].set_xlabel("layer")
    _finish(figure, panels, list(styles), styles, _no_rows(figures, labels))
    return figure


def _by_layer(figures: pd.DataFrame, layers: Sequence[int]) -> list[tuple[str, pd.DataFrame]]:
    return [(f"layer {layer}", figures[figures["layer"] == layer]) for layer in layers]


def _compared(study: Study, figures: pd.DataFrame) -> list[str]:
    """Series that can differ from flat DSA: those with rows beyond an exact range, or any IoU below 1."""
    probed = set(figures.loc[(figures["rows_beyond"] > 0) | (figures["iou_min_all"] < 1), "indexer"])
    flat = {one.baseline for one in study.series}
    found = [label for label in study.labels if label in probed and label not in flat]
    return found or [label for label in study.labels if label in set(figures["indexer"])]


def _pool(figures: pd.DataFrame, by: str) -> pd.DataFrame:
    """Layers pooled: row-weighted means, lowest of the lowest."""
    rows = []
    for key, group in figures.groupby(by, sort=True):
        row = {by: key}
        for scope, _ in _DASHES:
            weights = group[f"rows_{scope}"].to_numpy(float)
            values = group[f"iou_{scope}"].to_numpy(float)
            known = weights > 0
            total = weights[known].sum()
            row[f"iou_{scope}"] = float((values[known] * weights[known]).sum() / total) if total else math.nan
            row[f"iou_min_{scope}"] = group[f"iou_min_{scope}"].min()
        rows.append(row)
    return pd.DataFrame(
        rows, columns=[by, *(f"{name}{scope}" for name in ("iou_", "iou_min_") for scope, _ in _DASHES)]
    )


def _lines(axes: Axes, own: pd.DataFrame, x: np.ndarray, name: str, style: Style) -> None:
    for scope, dash in _DASHES:
        axes.plot(
            x,
            own[name.format(scope)].to_numpy(float),
            color=style.colour,
            alpha=style.alpha,
            marker=style.marker,
            markersize=3.2,
            markerfacecolor=style.colour if scope == "all" else "none",
            linewidth=1.2,
            linestyle=dash,
        )


def _lowest(figures: pd.DataFrame) -> float:
    """Where the IoU axis starts: 0, or nearer to 1 where all values are high."""
    lowest = figures[[name.format(scope) for _, name in _KINDS for scope, _ in _DASHES]].min().min()
    start = math.floor((lowest - 0.01) * 10) / 10 if math.isfinite(lowest) else 0.0
    return start if start >= 0.5 else -0.04


def _no_rows(figures: pd.DataFrame, labels: Sequence[str]) -> str:
    """One sentence naming where an indexer has no row beyond its exact range."""
    parts = []
    for label in labels:
        own = figures[figures["indexer"] == label].groupby("length")["rows_beyond"].sum()
        none = [length_label(int(length)) for length in own[own == 0].index]
        if none:
            parts.append(f"{label}: {', '.join(none)}")
    return f"no rows beyond the exact range: {'; '.join(parts)}" if parts else ""


def _spread(lengths: Sequence[int]) -> list[int]:
    """At most `_MOST_LENGTHS` of them, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(lengths) - 1, min(len(lengths), _MOST_LENGTHS)).round().astype(int)
    return [lengths[place] for place in places]


def _strength(place: int, count: int) -> float:
    """Opacity of a line, the longest context the strongest."""
    return 1.0 if count == 1 else 0.25 + 0.75 * place / (count - 1)


def _finish(
    figure: Figure,
    panels: np.ndarray,
    labels: Sequence[str],
    styles: dict[str, Style],
    note: str,
) -> None:
    for row, (meaning, _) in enumerate(_KINDS):
        panels[row][0].set_ylabel(meaning)
    handles = [
        Line2D([], [], color=one.colour, alpha=one.alpha, marker=one.marker, markersize=3.5, label=label)
        for label, one in ((label, styles[label]) for label in labels)
    ]
    handles += [
        Line2D([], [], color=INK, linewidth=0.8, label="DSA = 1"),
        Line2D([], [], color=INK, linestyle="-", marker="o", markersize=3.2, label="all rows"),
        Line2D(
            [],
            [],
            color=INK,
            linestyle=_DASHES[1][1],
            marker="o",
            markersize=3.2,
            markerfacecolor="none",
            label="rows beyond the exact range",
        ),
    ]
    fitted_legend(figure, handles, "upper")
    if note:
        note_below(figure, note)
