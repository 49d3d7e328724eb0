"""Quality over cost: every variant of a sweep, and the front that none of them beats."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from hisa_eval.report.figures.legend import fitted_legend, note_below
from hisa_eval.report.figures.theme import INK, PAPER, SOFT, Style, series_styles
from hisa_eval.report.numbers import length_label

_QUALITIES = (
    ("recall", "recall of DSA's keys"),
    ("kept", "needles kept\nof DSA's"),
    ("score", "needles found"),
)
_MOST_LENGTHS = 3
_NEAR = (0.07, 0.07)
"""Share of the axes within which the numbers of two points become one text."""


def draw_fronts(frame: pd.DataFrame) -> Figure:
    """A row for each quality, a column for each length; the numbers are those of the sweep's table.

    Args:
        frame: From `hisa_eval.report.sweep.load_sweep`, of one token budget.
    """
    shown = [(name, text) for name, text in _QUALITIES if name in frame and frame[name].notna().any()]
    lengths = sorted(int(one) for one in frame["length"].unique())[-_MOST_LENGTHS:]
    figure = Figure(figsize=(2.9 * len(lengths) + 0.7, 2.0 * len(shown) + 0.6), layout="constrained")
    panels = figure.subplots(len(shown), len(lengths), squeeze=False, sharex=True, sharey="row")
    styles = series_styles(list(dict.fromkeys(str(one).split(":")[0] for one in frame["indexer"])))
    for column, length in enumerate(lengths):
        _cost_axis(panels[-1][column], frame["cost"].dropna())
        panels[0][column].set_title(f"{length_label(length)}, k = {int(frame['topk'].iloc[0]):,}", loc="left")
        panels[-1][column].set_xlabel("keys scored, DSA = 1")
    for row, (quality, text) in enumerate(shown):
        lowest = float(np.nanmin([frame[quality].min(), frame[f"{quality}_low"].min()]))
        start = np.floor((lowest - 0.05) * 10) / 10 if lowest >= 0.4 else -0.1
        for column, length in enumerate(lengths):
            axes, own = panels[row][column], frame[(frame["length"] == length) & frame["cost"].notna()]
            axes.set_ylim(start, 1 + 0.06 * (1 - start))
            _points(axes, own[own[quality].notna()], quality, styles)
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        panels[row][0].set_ylabel(f"{text}, 95%")
    handles = [
        Line2D([], [], linestyle="none", marker=one.marker, color=one.colour, markersize=4.5, label=name)
        for name, one in styles.items()
    ]
    handles.append(Line2D([], [], color=INK, linewidth=0.9, label="front"))
    fitted_legend(figure, handles, "upper")
    note_below(figure, "filled marks lie on the front; their numbers are those of the table")
    return figure


def _points(axes: Axes, own: pd.DataFrame, quality: str, styles: dict[str, Style]) -> None:
    low, high = own[f"{quality}_low"].to_numpy(float), own[f"{quality}_high"].to_numpy(float)
    value, cost = own[quality].to_numpy(float), own["cost"].to_numpy(float)
    spread = np.nan_to_num(np.clip([value - low, high - value], 0, None))
    axes.errorbar(cost, value, yerr=spread, linestyle="none", ecolor=SOFT, elinewidth=0.8, zorder=1)
    on = own[f"front_{quality}"].to_numpy(bool)
    for x, y, label, front in zip(cost, value, own["indexer"], on, strict=True):
        style = styles[str(label).split(":")[0]]
        axes.plot(
            x,
            y,
            linestyle="none",
            marker=style.marker,
            markersize=4.5,
            color=style.colour,
            markerfacecolor=style.colour if front else "none",
            zorder=3 if front else 2,
        )
    best = own[on].sort_values("cost")
    axes.plot(best["cost"], best[quality], color=INK, linewidth=0.9, drawstyle="steps-post", zorder=1.5)
    _number(axes, best["cost"].to_numpy(float), best[quality].to_numpy(float), best["variant"].tolist())


def _number(axes: Axes, x: np.ndarray, y: np.ndarray, numbers: list[int]) -> None:
    """Numbers under the points, those of close neighbours in one text."""
    groups: list[tuple[np.ndarray, list[int]]] = []
    for at, number in zip(np.column_stack((x, y)), numbers, strict=True):
        place = axes.transAxes.inverted().transform(axes.transData.transform(at))
        if groups and (np.abs(groups[-1][0] - place) < _NEAR).all():
            groups[-1][1].append(number)
        else:
            groups.append((place, [number]))
    for place, members in groups:
        axes.annotate(
            ", ".join(map(str, members)),
            tuple(place),
            (3, -3),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=6,
            path_effects=[withStroke(linewidth=1.8, foreground=PAPER)],
            zorder=5,
        )


def _cost_axis(axes: Axes, cost: pd.Series) -> None:
    axes.set_xscale("log", base=2)
    near = int(np.floor(np.log2(cost.min())))
    far = max(near + 1, int(np.ceil(np.log2(cost.max()))))
    step = max(1, -(-(far - near) // 4))
    places = [2.0**one for one in range(near, far + 1, step)]
    axes.set_xticks(places, [f"1/{round(1 / one)}" if one < 1 else f"{one:g}" for one in places])
    axes.set_xlim(2.0**near * 0.85, 2.0**far * 1.25)
    axes.minorticks_off()
