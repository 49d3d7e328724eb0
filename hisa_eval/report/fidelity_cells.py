"""Cells of the tables of a comparison of selections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hisa_eval.report.fidelity_rows import QUARTERS
from hisa_eval.report.numbers import length_label, share
from hisa_eval.report.table import Cell

SCOPES = {"all": "all rows", "beyond": "beyond"}


def distance_label(start: int) -> str:
    """A class of distance by its beginning, e.g. `from 256`."""
    return f"from {length_label(start)}"


def key_cells(key: Sequence[Any], by: Sequence[str]) -> list[Cell]:
    """Cells of a group's key, its columns named by `by`."""
    cells = []
    for name, value in zip(by, key, strict=True):
        if name == "length":
            cells.append(Cell(length_label(int(value)), int(value)))
        elif name == "scope":
            cells.append(Cell(SCOPES[value]))
        elif name == "distance":
            cells.append(Cell(distance_label(int(value)), int(value)))
        elif name == "quarter":
            cells.append(Cell(QUARTERS[int(value)], int(value)))
        else:
            cells.append(Cell(str(value), value if isinstance(value, int) else None))
    return cells


def mean_cell(figure: dict[str, Any]) -> Cell:
    """A mean with its interval."""
    return interval_cell(figure, "mean")


def minimum_cell(figure: dict[str, Any]) -> Cell:
    """The lowest value."""
    return Cell(share(figure["minimum"], 3), figure["minimum"])


def interval_cell(figure: dict[str, Any], name: str) -> Cell:
    """The value `name` with its interval, where there is one."""
    value = figure[name]
    text = share(value, 3)
    if not math.isnan(figure["low"]):
        text += f" [{share(figure['low'], 3)}, {share(figure['high'], 3)}]"
    return Cell(text, -1.0 if math.isnan(value) else value)
