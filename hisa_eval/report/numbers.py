"""How numbers are written in tables and on axes."""

from __future__ import annotations

import math
import re

NOTHING = "–"


def length_label(tokens: int) -> str:
    """`8192` as `8K`, `1048576` as `1M`; a length between two K is written out, never rounded."""
    for unit, size in (("M", 1024 * 1024), ("K", 1024)):
        if tokens >= size and tokens % size == 0:
            return f"{tokens // size:,}{unit}"
    return f"{tokens:,}"


def depth_label(percent: float) -> str:
    """A depth in percent with no digit more than it needs, two at most."""
    return f"{percent:.2f}".rstrip("0").rstrip(".")


def share(value: float, digits: int = 2) -> str:
    """A share of 1, never rounded to 0 or 1 unless it is exactly that.

    Args:
        value: 0..1, or NaN.
        digits: Decimals.
    """
    if math.isnan(value):
        return NOTHING
    step = 10.0**-digits
    if 0 < value < 1:
        value = min(max(value, step), 1 - step)
    return f"{value:.{digits}f}"


def short_share(value: float) -> str:
    """A share of 1 for a cell of a heatmap: `1`, `0.8`, `0.67`."""
    return share(value).rstrip("0").rstrip(".") if not math.isnan(value) else ""


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign, `0.00` without one."""
    if math.isnan(value):
        return NOTHING
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def seconds(value: float) -> str:
    """A duration in seconds with three figures."""
    if math.isnan(value):
        return NOTHING
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def slug(label: str) -> str:
    """A label as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.") or "unnamed"
