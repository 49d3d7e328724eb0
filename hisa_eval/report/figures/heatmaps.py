"""Score by length and depth: one heatmap per indexer, all side by side, and minus flat DSA."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from hisa_eval.report.figures.grid import Grid, draw_grid, legend_of_gaps, panel_size
from hisa_eval.report.figures.legend import fitted_title
from hisa_eval.report.figures.theme import difference_map, score_map
from hisa_eval.report.numbers import depth_label, length_label, share, short_share, signed
from hisa_eval.report.study import Study


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
        n, n_failed = int(own["n"].sum()), int(own["n_failed"].sum())
        title = f"{label}\nmean {share(mean)}, n = {n}" + (f", {n_failed} failed" if n_failed else "")
        grids[label] = Grid(title, columns, [depth_label(depth) for depth in rows], values, failed)
    return grids


def difference_grids(study: Study, grids: dict[str, Grid]) -> dict[str, Grid]:
    """Score minus flat DSA's on the same samples, for every series that has such a baseline.

    Args:
        study: What was run.
        grids: From `score_grids`.
    """
    ok = study.samples[study.samples["status"] == "ok"].fillna({"prompt_sha256": ""})
    paired = ok.pivot(
        index=["depth", "length", "sample_id", "prompt_sha256"], columns="series", values="score"
    ).reindex(columns=study.labels)
    found = {}
    for one in study.series:
        if one.baseline is None:
            continue
        own, flat = grids[one.label], grids[one.baseline]
        means = (paired[one.label] - paired[one.baseline]).groupby(level=["depth", "length"]).mean()
        table = means.unstack("length").reindex(index=study.depths, columns=study.lengths)
        title = f"{one.label}\nminus {one.baseline}"
        values = table.to_numpy(float)
        failed = (own.failed + flat.failed) * np.isnan(values)
        found[one.label] = Grid(title, own.columns, own.rows, values, failed)
    return found


def draw_scores(grids: Sequence[Grid]) -> Figure:
    """Heatmaps of scores with one colour bar, 0 to 1."""
    return _draw(grids, score_map(), Normalize(0, 1), short_share, "score")


def draw_differences(grids: Sequence[Grid]) -> Figure:
    """Heatmaps of differences with one colour bar, −1 to 1."""
    return _draw(grids, difference_map(), Normalize(-1, 1), _short_signed, "difference in score")


def _draw(
    grids: Sequence[Grid],
    colours: Colormap,
    scale: Normalize,
    form: Callable[[float], str],
    meaning: str,
) -> Figure:
    n_rows, n_columns = grids[0].values.shape
    across = len(grids) if len(grids) <= 3 else 2 if len(grids) == 4 else 3
    down = math.ceil(len(grids) / across)
    size = panel_size(n_columns, n_rows, alone=len(grids) == 1)
    titles = ["\n".join(fitted_title(line, size[0]) for line in grid.title.split("\n")) for grid in grids]
    extra = 0.14 * max(title.count("\n") for title in titles)
    figure = Figure(
        figsize=(across * (size[0] + 0.25) + 1.25, down * (size[1] + 0.4 + extra) + 0.75),
        layout="constrained",
    )
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for place, axes in enumerate(panels.flat):
        if place >= len(grids):
            axes.set_visible(False)
            panels.flat[place - across].tick_params(labelbottom=True)
            continue
        if place + across >= len(grids):
            axes.set_xlabel("context length (tokens)")
        draw_grid(axes, grids[place], size, colours, scale, form)
        axes.set_title(titles[place], loc="left")
    figure.supylabel("needle depth (%)", fontsize=8)
    bar = figure.colorbar(
        ScalarMappable(scale, colours), ax=panels, label=meaning, shrink=1 if down == 1 else 0.6, pad=0.02
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)
    legend_of_gaps(figure, grids)
    return figure


def _column_label(study: Study, length: int) -> str:
    sent = study.tokens(length)
    return length_label(round(sum(sent) / 2) if sent else length)


def _short_signed(value: float) -> str:
    return "0" if round(value, 2) == 0 else signed(value).rstrip("0").rstrip(".")
