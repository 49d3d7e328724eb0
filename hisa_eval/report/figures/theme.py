"""Colours, type sizes and the files that a figure is saved as."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from hisa_eval.report.files import write_file

PNG_DPI = 200

INK = "#1b1f24"
SOFT = "#c9ced6"
PAPER = "#ffffff"
FAILED = "#d4d7dc"
# Okabe and Ito's palette; flat DSA takes the ink colour.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = ("s", "^", "D", "v", "P", "X", "p", "<", "*", ">", "h", "d")
"""Twice as many as colours, so that a colour that comes again has another shape."""

# Near black and near white, so that text in a coloured cell is not taken for ink or paper below.
_ON_LIGHT, _ON_DARK = "#010101", "#fefefe"

CSS_NAMES = {
    INK: "--figure-ink",
    SOFT: "--figure-soft",
    PAPER: "--figure-paper",
    FAILED: "--figure-failed",
    **{colour: f"--figure-{place}" for place, colour in enumerate(COLOURS)},
}
"""Custom property of the page that stands for a colour, so that one drawing serves light and dark."""

Draw = Callable[[], Figure]
"""Draws one figure."""


@dataclass(frozen=True)
class Style:
    """How a series is drawn in line figures."""

    colour: str
    marker: str
    alpha: float = 1.0


def series_styles(labels: Sequence[str]) -> dict[str, Style]:
    """A colour and a marker for each label; flat DSA takes the ink colour and a circle."""
    styles: dict[str, Style] = {}
    place = 0
    for label in labels:
        if re.split(r"[: ]", label)[0] == "dsa" and all(one.marker != "o" for one in styles.values()):
            styles[label] = Style(INK, "o")
            continue
        styles[label] = Style(
            COLOURS[(place + place // len(_MARKERS)) % len(COLOURS)], _MARKERS[place % len(_MARKERS)]
        )
        place += 1
    return styles


def score_map() -> Colormap:
    """Dark violet (0) to green (1): viridis without its yellow end; lightness rises all the way."""
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.76, 256))
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
    return _ON_DARK if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else _ON_LIGHT


@dataclass(frozen=True)
class Rendered:
    """One figure in every form, without date or program name in any."""

    png: bytes
    pdf: bytes
    svg: str

    def write(self, stem: Path) -> list[Path]:
        """Write PNG and PDF to `stem` with their endings."""
        return [
            write_file(stem.with_name(f"{stem.name}.png"), self.png),
            write_file(stem.with_name(f"{stem.name}.pdf"), self.pdf),
        ]


def render(draw: Draw) -> Rendered:
    """Draw a figure once and save it in every form."""
    with house_style():
        figure = draw()
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
        png = _saved(figure, "png", {"Software": None})
        pdf = _saved(figure, "pdf", {"CreationDate": None, "Creator": None, "Producer": None})
        svg = _saved(figure, "svg", {"Date": None, "Creator": None, "Format": None, "Type": None})
    return Rendered(png, pdf, svg.decode("utf-8"))


def inline_svg(svg: str, prefix: str, label: str) -> str:
    """An SVG file as an element of a page.

    Args:
        svg: The file.
        prefix: Keeps its identifiers apart from those of the page's other figures.
        label: What it shows, HTML-escaped.

    Returns:
        The element, with the colours of the theme as custom properties.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r' xmlns(:\w+)?="[^"]*"', "", body)
    body = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}-", body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda found: _as_css(found[0]), body)
    body = re.sub(r'width="([\d.]+)pt" height="[\d.]+pt"', r'style="--points: \1"', body, count=1)
    return body.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _as_css(colour: str) -> str:
    return f"var({CSS_NAMES[colour]})" if colour in CSS_NAMES else colour


def _saved(figure: Figure, form: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=PNG_DPI, metadata=metadata)
    return buffer.getvalue()


@contextmanager
def house_style() -> Iterator[None]:
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
                "axes.edgecolor": SOFT,
                "axes.linewidth": 0.8,
                "axes.labelcolor": INK,
                "axes.titlecolor": INK,
                "text.color": INK,
                "xtick.color": INK,
                "ytick.color": INK,
                "xtick.major.width": 0.6,
                "ytick.major.width": 0.6,
                "xtick.major.size": 2.5,
                "ytick.major.size": 2.5,
                "grid.color": SOFT,
                "grid.linewidth": 0.5,
                "hatch.linewidth": 0.6,
                "hatch.color": PAPER,
                "figure.facecolor": PAPER,
                "axes.facecolor": PAPER,
                "savefig.facecolor": PAPER,
                "legend.frameon": False,
                "pdf.fonttype": 42,
                "svg.hashsalt": "hisa-eval",
            }
        )
        yield
