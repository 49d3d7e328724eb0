"""Whole answers over the context length: first token, each further one, throughput, memory."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hisa_eval.report.end_to_end import EndToEnd, Timed
from hisa_eval.report.end_to_end_tables import break_evens, title_of
from hisa_eval.report.figures.by_length import length_axis
from hisa_eval.report.figures.legend import fitted_legend, note_below
from hisa_eval.report.figures.theme import series_styles

Point = tuple[float, float, float]
"""Value, and the least and most of it."""


def _first(one: Timed) -> Point:
    return (one.median("first"), *one.spread("first"))


def _each(one: Timed) -> Point:
    low, high = one.spread("each")
    return 1000 * one.median("each"), 1000 * low, 1000 * high


def _throughput(one: Timed) -> Point:
    low, high = one.spread("answer")
    tokens = one.n_prompt + one.n_new
    return one.throughput, tokens / high, tokens / low


def _memory(one: Timed) -> Point:
    value = math.nan if one.peak_bytes is None else one.peak_bytes / 2**20
    return value, value, value


_PANELS: tuple[tuple[str, str, Callable[[Timed], Point]], ...] = (
    ("first", "time to first token (s)", _first),
    ("each", "time per further token (ms)", _each),
    ("", "tokens a second, whole answer", _throughput),
    ("", "peak memory (MiB)", _memory),
)


def draw_end_to_end(measured: EndToEnd) -> Figure:
    """Four panels over the context length, a line with its spread for each contestant; dotted: break-even."""
    width = max(2.6, min(0.5 * len(measured.lengths) + 0.9, 3.6))
    figure = Figure(figsize=(2 * width + 0.2, 4.6), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True).ravel()
    styles = series_styles(measured.labels)
    evens = break_evens(measured)
    for axes, (name, ylabel, value) in zip(panels, _PANELS, strict=True):
        for place, label in enumerate(measured.labels):
            _line(axes, measured, label, place, value, styles[label].colour, styles[label].marker)
            even = evens[label][name] if name and label in evens else None
            if even is not None and even.length is not None and even.between is not None:
                at = _position(measured.lengths, even.length, even.between)
                axes.axvline(at, color=styles[label].colour, linestyle=":", linewidth=1)
        length_axis(axes, measured.lengths, width - 0.5)
        axes.set_ylabel(ylabel)
        drawn = [float(y) for line in axes.get_lines() for y in np.atleast_1d(line.get_ydata()) if y > 0]
        if name and drawn and max(drawn) > 20 * min(drawn):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    for axes in panels[2:]:
        axes.set_xlabel("context length (tokens)")
    fitted_legend(figure, figure.axes[0].get_legend_handles_labels()[0], "upper")
    wrong = [f"{one.label} at {one.length:,}: {one.status}" for one in measured.wrong]
    left = f" Left out: {'; '.join(wrong)}." if wrong else ""
    note_below(
        figure,
        f"{title_of(measured)}. Median; bars from least to most. Dotted: from there on faster than "
        f"{measured.flat}.{left}",
    )
    return figure


def _line(
    axes: Axes,
    measured: EndToEnd,
    label: str,
    place: int,
    value: Callable[[Timed], Point],
    colour: str,
    marker: str,
) -> None:
    step = min(0.06, 0.3 / max(1, len(measured.labels)))
    x = np.arange(len(measured.lengths)) + (place - (len(measured.labels) - 1) / 2) * step
    points = [
        value(one) if (one := measured.cells[label, length]).timed else (math.nan,) * 3
        for length in measured.lengths
    ]
    y, low, high = np.array(points, dtype=float).T
    axes.errorbar(
        x,
        y,
        yerr=[np.clip(y - low, 0, None), np.clip(high - y, 0, None)],
        color=colour,
        marker=marker,
        markersize=4,
        linewidth=1.2,
        elinewidth=0.9,
        capsize=2,
        label=label,
    )


def _position(lengths: tuple[int, ...], length: float, between: tuple[int, int]) -> float:
    """Where a length between two measured ones lies on an axis where those are equally far apart."""
    short, long = map(lengths.index, between)
    part = math.log(length / between[0]) / math.log(between[1] / between[0])
    return short + part * (long - short)
