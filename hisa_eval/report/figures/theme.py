"""Colours, type sizes and the files that a figure is saved as."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib as mpl
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from hisa_eval.report.files import write_file

PNG_DPI = 200

# Okabe and Ito's palette; the baseline takes the ink colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Theme:
    """What changes between a light and a dark page."""

    ink: str
    soft: str
    paper: str
    failed: str
    colours: Sequence[str]


LIGHT = Theme(ink="#1b1f24", soft="#c9ced6", paper="#ffffff", failed="#d4d7dc", colours=_COLOURS)
DARK = Theme(
    ink="#e6e9ee",
    soft="#4a515c",
    paper="#161a20",
    failed="#4a515c",
    colours=("#4da3e0", "#f08a4b", "#3fc79a", "#e0a3c6", "#f0bd4f", "#8fd0f5"),
)

Draw = Callable[[Theme], Figure]
"""Draws one figure in a theme."""


@dataclass(frozen=True)
class Style:
    """How a series is drawn in line figures."""

    colour: str
    marker: str


def series_styles(labels: Sequence[str], theme: Theme) -> dict[str, Style]:
    """A colour and a marker for each label; flat DSA takes the ink colour and a circle."""
    styles: dict[str, Style] = {}
    place = 0
    for label in labels:
        if label.split(":")[0].split(" ")[0] == "dsa" and "o" not in {one.marker for one in styles.values()}:
            styles[label] = Style(theme.ink, "o")
            continue
        styles[label] = Style(theme.colours[place % len(theme.colours)], _MARKERS[place % len(_MARKERS)])
        place += 1
    return styles


def score_map() -> Colormap:
    """Dark violet (0) to green (1): viridis without its yellow end; lightness rises all the way."""
    colours = [mpl.colormaps["viridis"](0.8 * step / 255) for step in range(256)]
    return LinearSegmentedColormap.from_list("score", colours)


def difference_map() -> Colormap:
    """Red (worse) over near white (equal) to blue (better)."""
    return mpl.colormaps["RdBu"]


def text_colour(background: Sequence[float]) -> str:
    """Black or white, whichever reads better on an RGB colour (components 0..1).

    Source: WCAG 2.2, relative luminance and contrast ratio.
    """
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in background[:3]
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


@contextmanager
def drawing(theme: Theme) -> Iterator[None]:
    """Matplotlib's own defaults with the theme on top, whatever the user's settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.size": 8,
                "axes.titlesize": 8.5,
                "axes.labelsize": 8,
                "xtick.labelsize": 7.5,
                "ytick.labelsize": 7.5,
                "legend.fontsize": 7.5,
                "axes.edgecolor": theme.soft,
                "axes.linewidth": 0.8,
                "axes.labelcolor": theme.ink,
                "axes.titlecolor": theme.ink,
                "text.color": theme.ink,
                "xtick.color": theme.ink,
                "ytick.color": theme.ink,
                "xtick.major.width": 0.6,
                "ytick.major.width": 0.6,
                "xtick.major.size": 2.5,
                "ytick.major.size": 2.5,
                "grid.color": theme.soft,
                "grid.linewidth": 0.5,
                "hatch.linewidth": 0.6,
                "figure.facecolor": theme.paper,
                "axes.facecolor": theme.paper,
                "savefig.facecolor": theme.paper,
                "legend.frameon": False,
                "pdf.fonttype": 42,
                "svg.hashsalt": "hisa-eval",
            }
        )
        yield


def render(draw: Draw, theme: Theme, form: Literal["png", "pdf", "svg"]) -> bytes:
    """The bytes of a figure, without date or program name in them."""
    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "svg": {"Date": None, "Creator": None},
    }
    buffer = io.BytesIO()
    with drawing(theme):
        draw(theme).savefig(buffer, format=form, dpi=PNG_DPI, metadata=metadata[form])
    return buffer.getvalue()


def save(draw: Draw, stem: Path) -> list[Path]:
    """Write a figure as PNG and PDF.

    Args:
        draw: Draws it.
        stem: Path without ending.
    """
    png = write_file(stem.with_name(f"{stem.name}.png"), render(draw, LIGHT, "png"))
    pdf = write_file(stem.with_name(f"{stem.name}.pdf"), render(draw, LIGHT, "pdf"))
    return [png, pdf]
