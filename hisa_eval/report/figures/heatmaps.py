"""Score by length and depth: one heatmap per indexer, all side by side, and minus flat DSA."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from hisa_eval.report.figures.grid import Grid, draw_grid, legend_of_gaps, panel_size
from hisa_eval.report.figures.theme import Theme, difference_map, score_map
from hisa_eval.report.numbers import depth_label, length_label, share, short_share, signed
from hisa_eval.report.study import Study

_MARGIN = (0.75, 0.75)
_MOST_ACROSS = 3


def score_grids(study: Study, cells: pd.DataFrame) -> dict[str, Grid]:
    """One grid per series, all over the same lengths and depths.

    Args:
        study: What was run.
        cells: Scores grouped by length and depth.
    """
    columns, rows = [_column_label(study, length) for length in study.lengths], study.depths
    grids = {}
    for label in study.labels:
        own = cells[cells["indexer"] == label]
        values = np.full((len(rows), len(columns)), math.nan)
        failed = np.zeros_like(values)
        for one in own.to_dict("records"):
            if pd.isna(one["depth"]):
                continue
            place = rows.index(one["depth"]), study.lengths.index(one["length"])
            values[place], failed[place] = one["score"], one["n_failed"]
        scored = own[own["n"] > 0]
        mean = (scored["score"] * scored["n"]).sum() / scored["n"].sum() if len(scored) else math.nan
        title = f"{_wrap(label)}\nmean {share(mean)}, n = {int(own['n'].sum())}"
        grids[label] = Grid(title, columns, [depth_label(depth) for depth in rows], values, failed)
    return grids


def difference_grids(study: Study, grids: dict[str, Grid]) -> dict[str, Grid]:
    """Score minus flat DSA's in the same cell, for every series that has such a baseline."""
    found = {}
    for one in study.series:
        if one.baseline is not None:
            own, flat = grids[one.label], grids[one.baseline]
            title = f"{_wrap(one.label)}\nminus {_wrap(one.baseline)}"
            failed = own.failed * np.isnan(own.values) + flat.failed * np.isnan(flat.values)
            found[one.label] = Grid(title, own.columns, own.rows, own.values - flat.values, failed)
    return found


def draw_scores(grids: Sequence[Grid], theme: Theme) -> Figure:
    """Heatmaps of scores with one colour bar, 0 to 1."""
    return _draw(grids, theme, score_map(), Normalize(0, 1), short_share, "score")


def draw_differences(grids: Sequence[Grid], theme: Theme) -> Figure:
    """Heatmaps of differences with one colour bar, −1 to 1."""
    return _draw(grids, theme, difference_map(), Normalize(-1, 1), _short_signed, "difference in score")


def _draw(
    grids: Sequence[Grid],
    theme: Theme,
    colours: Colormap,
    scale: Normalize,
    form: Callable[[float], str],
    meaning: str,
) -> Figure:
    n_rows, n_columns = grids[0].values.shape
    across = min(len(grids), _MOST_ACROSS)
    down = math.ceil(len(grids) / across)
    size = panel_size(n_columns, n_rows)
    figure = Figure(
        figsize=(across * (size[0] + 0.25) + _MARGIN[0] + 0.5, down * (size[1] + 0.55) + _MARGIN[1]),
        layout="constrained",
    )
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for place, axes in enumerate(panels.flat):
        if place >= len(grids):
            axes.set_visible(False)
            panels.flat[place - across].tick_params(labelbottom=True)
            continue
        draw_grid(axes, grids[place], size, theme, colours, scale, form)
    figure.supxlabel("context length (tokens)", fontsize=8)
    figure.supylabel("needle depth (%)", fontsize=8)
    bar = figure.colorbar(
        ScalarMappable(scale, colours), ax=panels, label=meaning, aspect=22 if down == 1 else 36, pad=0.02
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)
    legend_of_gaps(figure, grids, theme)
    return figure


def _column_label(study: Study, length: int) -> str:
    sent = study.tokens(length)
    return length_label(round(sum(sent) / 2) if sent else length)


def _short_signed(value: float) -> str:
    return "0" if round(value, 2) == 0 else signed(value).rstrip("0").rstrip(".")


def _wrap(label: str) -> str:
    return "\n".join(textwrap.wrap(label.replace(",", ", "), 34)) or label
