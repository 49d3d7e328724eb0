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
from hisa_eval.report.figures.theme import Style, Theme, series_styles
from hisa_eval.report.numbers import length_label
from hisa_eval.report.study import Study

_KINDS = (("mean IoU", "iou_{}"), ("lowest IoU", "iou_min_{}"))
_DASHES = (("all", "-"), ("beyond", (0, (3, 1.5))))


def draw_iou_by_length(study: Study, figures: pd.DataFrame, theme: Theme) -> Figure:
    """Mean and lowest IoU over length, a column of panels for each layer.

    Args:
        study: What was run.
        figures: From `hisa_eval.report.fidelity.fidelity`.
        theme: Light or dark.
    """
    layers = sorted(figures["layer"].unique())
    pooled = len(layers) > MOST_PANELS
    groups = [(f"{len(layers)} layers", figures)] if pooled else _by_layer(figures, layers)
    figure, panels = panel_row(2, len(groups), len(study.lengths))
    labels = _compared(study, figures)
    styles = series_styles(study.labels, theme)
    for column, (title, part) in enumerate(groups):
        for row, (_, name) in enumerate(_KINDS):
            axes = panels[row][column]
            axes.axhline(1, color=theme.ink, linewidth=0.8)
            for label in labels:
                own = _pool(part[part["indexer"] == label], "length")
                _lines(axes, own, positions(study.lengths, own["length"]), name, styles[label])
            length_axis(axes, study.lengths)
            axes.set_ylim(-0.04, 1.04)
        panels[0][column].set_title(title, loc="left")
        panels[1][column].set_xlabel("context length (tokens)")
    _finish(figure, panels, labels, styles, theme, _no_rows(figures, labels))
    return figure


def draw_iou_by_layer(study: Study, figures: pd.DataFrame, theme: Theme) -> Figure:
    """Mean and lowest IoU over the layers, a column of panels for each indexer and a shade for each length.

    Args:
        study: What was run.
        figures: From `hisa_eval.report.fidelity.fidelity`.
        theme: Light or dark.
    """
    labels = _compared(study, figures)
    layers = sorted(int(layer) for layer in figures["layer"].unique())
    figure, panels = panel_row(2, len(labels), max(4, len(layers) // 4))
    lengths = sorted(int(length) for length in figures["length"].unique())
    styles = {
        length_label(length): Style(_shade(place, len(lengths), theme), "o")
        for place, length in enumerate(lengths)
    }
    for column, label in enumerate(labels):
        for row, (_, name) in enumerate(_KINDS):
            axes = panels[row][column]
            axes.axhline(1, color=theme.ink, linewidth=0.8)
            for length in lengths:
                own = figures[(figures["indexer"] == label) & (figures["length"] == length)]
                _lines(axes, own, own["layer"].to_numpy(float), name, styles[length_label(length)])
            axes.set(ylim=(-0.04, 1.04), xlim=(layers[0] - 0.4, layers[-1] + 0.4))
            every = max(1, -(-len(layers) // 8))
            axes.set_xticks(layers[::every], [str(layer) for layer in layers[::every]])
            axes.grid(axis="y")
            axes.spines[["top", "right"]].set_visible(False)
        panels[0][column].set_title(label, loc="left")
        panels[1][column].set_xlabel("layer")
    _finish(figure, panels, list(styles), styles, theme, _no_rows(figures, labels))
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
            marker=style.marker,
            markersize=3.2,
            markerfacecolor=style.colour if scope == "all" else "none",
            linewidth=1.2,
            linestyle=dash,
        )


def _no_rows(figures: pd.DataFrame, labels: Sequence[str]) -> str:
    """One sentence naming where an indexer has no row beyond its exact range."""
    parts = []
    for label in labels:
        own = figures[figures["indexer"] == label].groupby("length")["rows_beyond"].sum()
        none = [length_label(int(length)) for length in own[own == 0].index]
        if none:
            parts.append(f"{label}: {', '.join(none)}")
    return f"no rows beyond the exact range: {'; '.join(parts)}" if parts else ""


def _shade(place: int, count: int, theme: Theme) -> str:
    """Shades of one colour, the longest context the strongest."""
    strength = 1.0 if count == 1 else 0.3 + 0.7 * place / (count - 1)
    parts = [
        round(
            int(theme.colours[0][i : i + 2], 16) * strength + int(theme.paper[i : i + 2], 16) * (1 - strength)
        )
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in parts)


def _finish(
    figure: Figure,
    panels: np.ndarray,
    labels: Sequence[str],
    styles: dict[str, Style],
    theme: Theme,
    note: str,
) -> None:
    for row, (meaning, _) in enumerate(_KINDS):
        panels[row][0].set_ylabel(meaning)
    handles = [
        Line2D([], [], color=styles[label].colour, marker=styles[label].marker, markersize=3.5, label=label)
        for label in labels
    ]
    handles += [
        Line2D([], [], color=theme.ink, linewidth=0.8, label="DSA = 1"),
        Line2D([], [], color=theme.ink, linestyle="-", marker="o", markersize=3.2, label="all rows"),
        Line2D(
            [],
            [],
            color=theme.ink,
            linestyle=_DASHES[1][1],
            marker="o",
            markersize=3.2,
            markerfacecolor="none",
            label="rows beyond the exact range",
        ),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    if note:
        figure.supxlabel(note, fontsize=7)
