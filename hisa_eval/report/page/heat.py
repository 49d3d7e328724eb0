"""Heatmaps of the page: tables whose cells carry value, count and interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.colors import Colormap, Normalize, to_hex

from hisa_eval.report.figures.theme import difference_map, score_map, text_colour
from hisa_eval.report.numbers import share, short_share, signed

_STOPS = 9


@dataclass(frozen=True)
class Axis:
    """Rows or columns of a heatmap.

    Attributes:
        name: What they are, e.g. `length`; also the name of the explorer's field that a cell picks from.
        labels: As shown.
        values: As they stand in the explorer, e.g. `8192` for `8K`.
    """

    name: str
    labels: Sequence[str]
    values: Sequence[Any]


@dataclass(frozen=True)
class HeatCell:
    """One cell.

    Attributes:
        text: What stands in it.
        tip: The whole of what is known, on hover.
        colour: Of the cell, empty where there is no value.
        ink: Of the text on it.
        kind: `value`, `partly` (some samples failed), `failed` or `missing`.
    """

    text: str
    tip: str
    colour: str = ""
    ink: str = ""
    kind: str = "missing"


@dataclass(frozen=True)
class Panel:
    """One heatmap.

    Attributes:
        title: Above it.
        series: Of the explorer's field `indexer`; empty where cells pick nothing.
        cells: By row, then column.
    """

    title: str
    series: str
    cells: Sequence[Sequence[HeatCell]]


@dataclass(frozen=True)
class Scale:
    """Colours of a range of values."""

    low: float
    high: float
    colours: Colormap
    form: Callable[[float], str]

    def cell(self, value: float, tip: str, *, n_failed: int = 0, text: str | None = None) -> HeatCell:
        """A cell with a value, or one that says why there is none."""
        if math.isnan(value):
            return HeatCell("failed" if n_failed else "", tip, kind="failed" if n_failed else "missing")
        colour = self.colours(Normalize(self.low, self.high, clip=True)(value))
        return HeatCell(
            self.form(value) if text is None else text,
            tip,
            to_hex(colour),
            to_hex(text_colour(colour)),
            "partly" if n_failed else "value",
        )

    @property
    def gradient(self) -> str:
        """A CSS gradient from low to high."""
        stops = [to_hex(self.colours(place / (_STOPS - 1))) for place in range(_STOPS)]
        return f"linear-gradient(to right, {', '.join(stops)})"


def short_signed(value: float) -> str:
    """A difference for a cell: `0`, `−0.4`."""
    return "0" if round(value, 2) == 0 else signed(value).rstrip("0").rstrip(".")


SCORES = Scale(0, 1, score_map(), short_share)
DIFFERENCES = Scale(-1, 1, difference_map(), short_signed)


@dataclass(frozen=True)
class Heatmaps:
    """Heatmaps over the same rows and columns with one scale.

    Attributes:
        caption: What they show.
        rows: Down.
        columns: Across.
        scale: Common to all.
        meaning: Of the values, e.g. `score`.
        panels: One or more.
        picks: Whether a cell leads to its samples.
    """

    caption: str
    rows: Axis
    columns: Axis
    scale: Scale
    meaning: str
    panels: Sequence[Panel]
    picks: bool = False

    @property
    def kinds(self) -> set[str]:
        """Which kinds of cells there are, for the legend."""
        return {cell.kind for panel in self.panels for row in panel.cells for cell in row}


def score_tip(row: Mapping[Any, Any] | None) -> str:
    """Mean, interval and counts of a row of `report.accuracy.score_row`."""
    if row is None:
        return "not run"
    failed = f", {row['n_failed']} failed" if row["n_failed"] else ""
    if not row["n"]:
        return f"no score{failed}"
    return f"{share(row['score'])} [{share(row['ci_low'])}, {share(row['ci_high'])}], n = {row['n']}{failed}"
