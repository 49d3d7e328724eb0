"""One heatmap on given axes: length across, depth down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon, Rectangle

from hisa_eval.report.figures.legend import fitted_legend
from hisa_eval.report.figures.theme import FAILED, PAPER, SOFT, text_colour

_SMALLEST_TEXT = 4.0
_LARGEST_TEXT = 8.0
_TICK_ROOM = 9.5
_MOST_TEXTS = 200


@dataclass(frozen=True)
class Grid:
    """The cells of a heatmap.

    Attributes:
        title: Above the axes.
        columns: Labels of the lengths.
        rows: Labels of the depths.
        values: `[rows, columns]`, NaN where there is no value.
        failed: `[rows, columns]`, number of failed samples.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[str]
    values: np.ndarray
    failed: np.ndarray


def panel_size(n_columns: int, n_rows: int, *, alone: bool) -> tuple[float, float]:
    """Width and height of the cells' area, in inches, that suits this many cells."""
    return min(max(0.46 * n_columns, 1.5), 5.2 if alone else 3.6), min(max(0.3 * n_rows, 0.9), 2.9)


def draw_grid(
    axes: Axes,
    grid: Grid,
    size: tuple[float, float],
    colours: Colormap,
    scale: Normalize,
    form: Callable[[float], str],
) -> None:
    """Fill `axes` with the cells.

    Args:
        axes: Where to draw.
        grid: What to draw.
        size: Width and height of the cells' area in inches; decides on the cells' text.
        colours: Colour map.
        scale: Value range, common to all heatmaps that stand together.
        form: Writes a value into its cell.
    """
    n_rows, n_columns = grid.values.shape
    axes.pcolormesh(
        np.arange(n_columns + 1),
        np.arange(n_rows + 1),
        np.ma.masked_invalid(grid.values),
        cmap=colours,
        norm=scale,
        edgecolors=PAPER,
        linewidth=0.8 if max(n_rows, n_columns) <= 16 else 0.3,
    )
    cell = (72 * size[0] / n_columns, 72 * size[1] / n_rows)
    texts = {place: form(value) for place, value in np.ndenumerate(grid.values) if math.isfinite(value)}
    points = _text_size(texts.values(), cell) if grid.values.size <= _MOST_TEXTS else 0.0
    for (row, column), text in texts.items():
        if points:
            shade = text_colour(colours(scale(grid.values[row, column])))
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=points, color=shade)
        if grid.failed[row, column]:
            corner = [(column + 1, row + 1), (column + 0.68, row + 1), (column + 1, row + 0.68)]
            axes.add_patch(Polygon(corner, facecolor=FAILED, edgecolor=PAPER, linewidth=0.4))
    for row, column in zip(*np.nonzero(np.isnan(grid.values) & (grid.failed > 0)), strict=True):
        axes.add_patch(Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, **_failed()))
    for row, column in zip(*np.nonzero(np.isnan(grid.values) & (grid.failed == 0)), strict=True):
        axes.add_patch(
            Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, fill=False, edgecolor=SOFT, linewidth=0.5)
        )
    axes.set(xlim=(0, n_columns), ylim=(n_rows, 0))
    widest = max(map(len, grid.columns), default=1)
    every = max(1, math.ceil(widest * 4.6 / cell[0]))
    _ticks(axes, "x", grid.columns, every if every <= 2 or widest <= 4 else 1)
    if every > 2 and widest > 4:
        axes.tick_params(axis="x", labelrotation=90)
        _ticks(axes, "x", grid.columns, math.ceil(_TICK_ROOM / cell[0]))
    _ticks(axes, "y", grid.rows, math.ceil(_TICK_ROOM / cell[1]))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def legend_of_gaps(figure: Figure, grids: Sequence[Grid]) -> None:
    """Say below the axes what the cells without a value are, if there are any."""
    empty = [np.isnan(grid.values) for grid in grids]
    failed = [grid.failed > 0 for grid in grids]
    handles = []
    if any((gap & bad).any() for gap, bad in zip(empty, failed, strict=True)):
        handles.append(Patch(label="failed", **_failed()))
    if any((~gap & bad).any() for gap, bad in zip(empty, failed, strict=True)):
        handles.append(Patch(label="corner: some samples failed", facecolor=FAILED, edgecolor=PAPER))
    if any((gap & ~bad).any() for gap, bad in zip(empty, failed, strict=True)):
        handles.append(Patch(label="not run", fill=False, edgecolor=SOFT, linewidth=0.6))
    fitted_legend(figure, handles, "lower")


def _failed() -> dict[str, Any]:
    return {"facecolor": FAILED, "edgecolor": PAPER, "hatch": "////", "linewidth": 0.0}


def _text_size(texts: Iterable[str], cell: tuple[float, float]) -> float:
    """Points that the longest text may have in a cell; 0 where it would not be legible."""
    longest = max((len(text) for text in texts), default=1)
    points = min(cell[0] * 0.86 / (0.62 * longest), cell[1] * 0.72, _LARGEST_TEXT)
    return points if points >= _SMALLEST_TEXT else 0.0


def _ticks(axes: Axes, axis: str, labels: Sequence[str], every: int) -> None:
    places = range(0, len(labels), every)
    axes.set(
        **{
            f"{axis}ticks": [place + 0.5 for place in places],
            f"{axis}ticklabels": [labels[place] for place in places],
        }
    )
