"""Figures of the paper that no single run draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hisa_eval.paper.published import Speedup
from hisa_eval.report.figures.legend import fitted_legend, note_below
from hisa_eval.report.figures.theme import INK, series_styles
from hisa_eval.report.numbers import length_label

_TITLES = {"fixed": "fixed budget, m = 64", "ratio": "budget 4:1"}


def draw_speedup(data: pd.DataFrame, published: Sequence[Speedup], where: str) -> Figure:
    """Speed-up over the same maker's flat selection, a panel for each budget.

    Args:
        data: From `hisa_eval.paper.speed.speedups`.
        published: The paper's factors.
        where: On what it was measured.
    """
    modes = [mode for mode in _TITLES if (data["mode"] == mode).any()]
    points = {mode: [one for one in published if one.mode == mode] for mode in modes}
    contexts = sorted({*map(int, data["context"]), *(one.context for mode in modes for one in points[mode])})
    figure = Figure(figsize=(max(3.4, 3.1 * len(modes)), 2.75), layout="constrained")
    panels = figure.subplots(1, len(modes), squeeze=False, sharey=True)[0]
    methods = list(dict.fromkeys(data["method"]))
    styles = series_styles(methods)
    for axes, mode in zip(panels, modes, strict=True):
        part = data[data["mode"] == mode]
        for method in methods:
            own = part[part["method"] == method].sort_values("context")
            style = styles[method]
            factor = own["factor"].fillna(own["best_factor"])
            axes.plot(
                own["context"], factor, color=style.colour, marker=style.marker, markersize=4, linewidth=1.3
            )
        work = part.drop_duplicates("context").sort_values("context")
        axes.plot(work["context"], work["work"], color=INK, linestyle=":", linewidth=1.1)
        axes.plot(
            [one.context for one in points[mode]],
            [one.factor for one in points[mode]],
            color=INK,
            marker="*",
            markersize=8,
            linestyle="none",
            zorder=4,
        )
        axes.axhline(1, color=INK, linewidth=0.6)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(contexts, [length_label(one) for one in contexts])
        axes.minorticks_off()
        axes.set_xlabel("context length (tokens)")
        axes.set_title(_TITLES[mode], loc="left")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    panels[0].set_ylabel("times faster than flat")
    handles = [
        Line2D([], [], color=styles[one].colour, marker=styles[one].marker, markersize=4, label=one)
        for one in methods
    ]
    handles += [
        Line2D([], [], color=INK, linestyle=":", label="ratio of scored vectors"),
        Line2D(
            [], [], color=INK, marker="*", markersize=8, linestyle="none", label="stated in the paper (A100)"
        ),
    ]
    fitted_legend(figure, handles, "upper")
    note_below(figure, f"Each against the fastest flat selection of the same maker, medians. {where}.")
    return figure


def draw_dots(data: pd.DataFrame, columns: Sequence[str], axis: str, where: str) -> Figure:
    """Scores with their intervals: groups across, one mark for each indexer.

    Args:
        data: `indexer`, `column`, `score`, `ci_low`, `ci_high` and `n`.
        columns: Groups from left to right.
        axis: What the scores are.
        where: On what they were measured.
    """
    labels = list(dict.fromkeys(data["indexer"]))
    styles = series_styles(labels)
    step = 0.8 / max(1, len(labels))
    width = min(7.0, max(3.4, 0.24 * len(columns) * len(labels) + 0.9))
    figure = Figure(figsize=(width, 2.7), layout="constrained")
    axes = figure.subplots()
    for place, label in enumerate(labels):
        own = data[data["indexer"] == label].set_index("column").reindex(columns)
        x = np.arange(len(columns)) + (place - (len(labels) - 1) / 2) * step
        score = own["score"].to_numpy(float)
        spread = np.array([score - own["ci_low"].to_numpy(float), own["ci_high"].to_numpy(float) - score])
        axes.errorbar(
            x,
            score,
            yerr=np.nan_to_num(np.clip(spread, 0, None)),
            color=styles[label].colour,
            marker=styles[label].marker,
            markersize=4,
            linestyle="none",
            elinewidth=1,
            capsize=1.8,
        )
    for edge in range(1, len(columns)):
        axes.axvline(edge - 0.5, color="#c9ced6", linewidth=0.5)
    axes.set_xticks(range(len(columns)), columns)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel(axis)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D(
            [],
            [],
            color=styles[one].colour,
            marker=styles[one].marker,
            markersize=4,
            linestyle="none",
            label=one,
        )
        for one in labels
    ]
    fitted_legend(figure, handles, "upper")
    counts = data["n"].dropna()
    few, many = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    n = f"n = {few}" if few == many else f"n = {few} to {many}"
    note_below(figure, f"Means with 95% intervals, {n} a mark. {where}.")
    return figure


def draw_attention(mass: np.ndarray, layers: Sequence[int], n_keys: int, where: str) -> Figure:
    """Attention of the row that gives the first output token: layers down, token positions across.

    Args:
        mass: `[layers, bins]`, share of attention in each stretch of positions.
        layers: Their numbers.
        n_keys: Positions in all.
        where: Of what.
    """
    figure = Figure(figsize=(3.4, 1.35 + min(2.2, 0.28 * len(layers))), layout="constrained")
    axes = figure.subplots()
    lowest = max(float(mass[mass > 0].min()) if (mass > 0).any() else 1e-6, 1e-6)
    image = axes.imshow(
        np.clip(mass, lowest, None),
        aspect="auto",
        interpolation="nearest",
        cmap="cividis",
        norm=LogNorm(lowest, 1),
        extent=(0, n_keys, len(layers) - 0.5, -0.5),
    )
    every = max(1, -(-len(layers) // 10))
    axes.set_yticks(range(0, len(layers), every), [str(one) for one in layers[::every]])
    ticks = [n_keys * part // 4 for part in range(5)]
    axes.set_xticks(ticks, [f"{one:,}" for one in ticks])
    axes.set(xlabel="token position", ylabel="layer")
    bar = figure.colorbar(image, ax=axes, label="attention", pad=0.02)
    bar.outline.set_visible(False)
    note_below(figure, f"Share in each of {mass.shape[1]} stretches, mean over heads, dense. {where}.")
    return figure
