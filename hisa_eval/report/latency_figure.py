"""The paper's latency figure: stacked stages by context, a panel for each budget of blocks.

Source: HISA, arXiv 2603.28458, figure 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from hisa_eval.report.figures.legend import fitted_legend, note_below
from hisa_eval.report.figures.theme import COLOURS, INK, PAPER
from hisa_eval.report.latency_study import Batch, role, speedup
from hisa_eval.report.numbers import length_label

_GROUPS = {
    "scores": ("token scores", COLOURS[0]),
    "top-k": ("top-k of all tokens", COLOURS[5]),
    "pool": ("pooling, block scores", COLOURS[2]),
    "block scores": ("pooling, block scores", COLOURS[2]),
    "mask": ("pooling, block scores", COLOURS[2]),
    "blocks": ("pooling, block scores", COLOURS[2]),
    "top-m": ("top-m", COLOURS[4]),
    "sort": ("candidate scores", COLOURS[1]),
    "refine": ("candidate scores", COLOURS[1]),
    "tokens": ("top-k of candidates", COLOURS[3]),
    "map": ("top-k of candidates", COLOURS[3]),
}
_GREY = "#8a93a0"
_WHOLE = ("whole pipeline", _GREY)
_BAR = 0.8
_LETTERS = "abcdefghijkl"


def draw_latency(batch: Batch, device: str, attention: float | None = None) -> Figure:
    """Bars of whole pipelines by context, and below them hierarchical ones alone on a scale of their own.

    Args:
        batch: Measurements of one shape.
        device: A line on the device.
        attention: Milliseconds of the sparse attention behind the selection, for scale.
    """
    modes = batch.modes or ["flat"]
    batch = replace(batch, records=tuple(r for r in batch.records if r["case"]["context"] in drawn(batch)))
    shown = shown_methods(batch)
    hierarchical = [name for name in shown if name in batch.methods("hisa")]
    down = 2 if hierarchical and len(hierarchical) < len(shown) else 1
    width = max(3.6, 0.2 * len(shown) * len(batch.contexts) + 1.0)
    figure = Figure(figsize=(min(width * len(modes), 11.0), 2.5 * down + 0.9), layout="constrained")
    panels = figure.subplots(down, len(modes), squeeze=False, sharey="row")
    groups: dict[str, str] = {}
    for place, mode in enumerate(modes):
        _panel(panels[0][place], batch, mode, shown, shown, groups, ratios=down == 1)
        panels[0][place].set_title(_mode_title(mode), loc="left")
        if down == 2:
            _panel(panels[1][place], batch, mode, hierarchical, shown, groups, ratios=True)
            panels[1][place].set_title("hierarchical alone", loc="left")
        if attention is not None:
            panels[0][place].axhline(attention, color=_GREY, linestyle="-.", linewidth=1)
    for row in panels:
        row[0].set_ylabel("ms, median")
        row[0].set_ylim(
            0, 1.2 * max((patch.get_y() + patch.get_height() for patch in _bars(row)), default=1.0)
        )
    for axes in panels[-1]:
        axes.set_xlabel("context length (tokens)")
    handles: list[Any] = [Patch(color=colour, label=name) for name, colour in groups.items()]
    handles += [
        Line2D([], [], color=INK, linestyle="--", linewidth=1, label="floor of flat"),
        Line2D([], [], color=INK, linestyle=":", linewidth=1, label="floor of hierarchical"),
    ]
    if attention is not None:
        label = "sparse MLA over the chosen tokens"
        handles.append(Line2D([], [], color=_GREY, linestyle="-.", linewidth=1, label=label))
    fitted_legend(figure, handles, "upper")
    letters = ", ".join(f"{_LETTERS[place]} {name}" for place, name in enumerate(shown))
    note_below(
        figure,
        f"{letters}. Numbers: times faster than the fastest flat method. {batch.title}. {device}.",
    )
    return figure


def drawn(batch: Batch) -> list[int]:
    """Contexts that were measured with every budget; a lone one, as for memory, would dwarf the others."""
    found = {
        context: {r["case"]["mode"] for r in batch.records if r["case"]["context"] == context}
        for context in batch.contexts
    }
    return [context for context, modes in found.items() if modes >= set(batch.modes)] or batch.contexts


def shown_methods(batch: Batch) -> list[str]:
    """The fastest flat method of each maker at the longest context, and every hierarchical one."""
    best: dict[str, tuple[int, float, str]] = {}
    for context in batch.contexts:
        for method in batch.methods("flat"):
            record = batch.find(method, "flat", context)
            if record is not None and record["status"] == "ok":
                place = (-context, float(record["total"]["ms"]), method)
                maker = method.partition(" + ")[0]
                best[maker] = min(place, best.get(maker, place))
    timed = {record["method"] for record in batch.records if record["status"] == "ok"}
    hierarchical = [name for name in batch.methods("hisa") if name in timed]
    return [*(method for _, _, method in best.values()), *hierarchical]


def _mode_title(mode: str) -> str:
    return "no blocks" if mode == "flat" else f"fixed budget, {mode}" if "=" in mode else f"budget {mode}"


def _panel(
    axes: Axes,
    batch: Batch,
    mode: str,
    drawn: list[str],
    shown: list[str],
    groups: dict[str, str],
    *,
    ratios: bool,
) -> None:
    width = _BAR / max(1, len(drawn))
    for place, method in enumerate(drawn):
        letter = _LETTERS[shown.index(method)]
        for at, context in enumerate(batch.contexts):
            record = batch.find(method, mode, context)
            if record is None or record["status"] == "unavailable":
                continue
            x = at - _BAR / 2 + (place + 0.5) * width
            if record["status"] != "ok":
                axes.annotate(f"{letter} {record['status']}", (x, 0), (0, 2), **_SMALL)
                continue
            top = _bar(axes, record, x, width * 0.92, groups)
            ratio = speedup(batch, record) if ratios and role(record) == "hisa" else None
            text = letter if ratio is None else f"{letter}\n{ratio:.1f}×"
            axes.annotate(text, (x, top), (0, 2), **_SMALL)
    for family, style in (("flat", "--"), ("hisa", ":")):
        if family == "flat" and not any(name in batch.methods("flat") for name in drawn):
            continue
        line = [_floor(batch, family, mode, context) for context in batch.contexts]
        if any(value is not None for value in line):
            heights = np.array([np.nan if value is None else value for value in line])
            for at, height in enumerate(heights):
                axes.hlines(height, at - _BAR / 2, at + _BAR / 2, color=INK, linestyle=style, linewidth=1)
    axes.set_xticks(range(len(batch.contexts)), [length_label(context) for context in batch.contexts])
    axes.set_xlim(-0.6, len(batch.contexts) - 0.4)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


_SMALL: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "bottom",
    "fontsize": 5.5,
    "linespacing": 0.95,
}


def _bars(row: Iterable[Axes]) -> list[Rectangle]:
    """Every part of every bar of some panels."""
    return [patch for axes in row for patch in axes.patches if isinstance(patch, Rectangle)]


def _bar(axes: Axes, record: dict[str, Any], x: float, width: float, groups: dict[str, str]) -> float:
    """One stacked bar; its height."""
    bottom = 0.0
    for stage in record["stages"]:
        name, colour = _GROUPS.get(stage["name"], _WHOLE)
        groups.setdefault(name, colour)
        axes.bar(x, stage["ms"], width, bottom=bottom, color=colour, edgecolor=PAPER, linewidth=0.3)
        bottom += stage["ms"]
    return bottom


def _floor(batch: Batch, family: str, mode: str, context: int) -> float | None:
    """The floor of a whole pipeline, from any record that carries it."""
    for method in batch.methods(family):
        record = batch.find(method, mode, context)
        if record is not None and record["status"] == "ok" and record["total"].get("floor_ms"):
            return float(record["total"]["floor_ms"])
    return None
