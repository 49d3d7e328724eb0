"""Text around the axes that has to fit the figure's width."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.figure import Figure

_LETTER = 0.064
_HANDLE = 0.5
_ROW = 0.17


def fitted_legend(figure: Figure, handles: Sequence[Artist], where: Literal["upper", "lower"]) -> None:
    """A legend outside the axes in as many columns as fit; the figure grows by its rows.

    Args:
        figure: With constrained layout.
        handles: Artists with labels.
        where: Over or under the axes.
    """
    if not handles:
        return
    width, height = figure.get_size_inches()
    widths = [_HANDLE + _LETTER * len(str(handle.get_label())) for handle in handles]
    columns = next((n for n in range(len(widths), 1, -1) if _spanned(widths, n) <= width - 0.2), 1)
    rows = -(-len(handles) // columns)
    figure.set_size_inches(width, height + _ROW * (rows - 1))
    place: Literal["outside upper center", "outside lower center"] = (
        "outside upper center" if where == "upper" else "outside lower center"
    )
    figure.legend(handles=list(handles), loc=place, ncols=columns)


def _spanned(widths: Sequence[float], columns: int) -> float:
    """Inches of a legend filled column by column, the first columns one entry longer where it is uneven."""
    short, n_long = divmod(len(widths), columns)
    total, start = 0.0, 0
    for column in range(columns):
        count = short + (column < n_long)
        total += max(widths[start : start + count])
        start += count
    return total


def note_below(figure: Figure, text: str) -> None:
    """A line of small text under everything, broken where the figure ends; the figure grows with it."""
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(text, int(width / 0.058))
    figure.set_size_inches(width, height + 0.13 * max(0, len(lines) - 1))
    figure.supxlabel("\n".join(lines), fontsize=7)


def fitted_title(label: str, width: float) -> str:
    """A label broken at its commas and spaces so that it stays over a panel of `width` inches."""
    spaced = re.sub(r",(?=\S)", ", ", label)
    return "\n".join(textwrap.wrap(spaced, max(12, int(width / 0.07)))) or label
