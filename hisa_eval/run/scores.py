"""Scores of a file of predictions, and their totals by group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from hisa_eval.stats.interval import mean_interval


@dataclass(frozen=True)
class Rules:
    """Choices that change scores; the defaults are the official scorers'.

    Attributes:
        code: Variant of LongBench's code similarity.
        thinking: Named rule by which thinking is dropped from an answer.
    """

    code: str = "difflib"
    thinking: str = "none"


@dataclass(frozen=True)
class Scored:
    """One prediction and its score.

    Attributes:
        id: As in the file.
        group: Its data set or task.
        score: A fraction from 0 to 1.
        length: The row's length field, if given.
        extra: Further fields of its line in the output.
    """

    id: str | int
    group: str
    score: float
    length: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """What a file of predictions comes to.

    Attributes:
        suite: Name of the suite.
        group_field: `"dataset"` or `"task"`.
        rows: In the file's order.
        totals: JSON types only; numbers in per cent.
    """

    suite: str
    group_field: str
    rows: tuple[Scored, ...]
    totals: Mapping[str, Any]

    def lines(self) -> list[dict[str, Any]]:
        """One object a row, then the totals."""
        rows = [
            {"id": row.id, self.group_field: row.group, "score": row.score, **row.extra} for row in self.rows
        ]
        return [*rows, dict(self.totals)]


def group_totals(rows: Iterable[Scored]) -> dict[str, dict[str, Any]]:
    """Score, interval and count of every group in per cent, in order of first mention."""
    by_group: dict[str, list[float]] = {}
    for row in rows:
        by_group.setdefault(row.group, []).append(row.score)
    found = {}
    for name, scores in by_group.items():
        interval = mean_interval(scores)
        found[name] = {
            "score": percent(fmean(scores)),
            "low": percent(interval.low),
            "high": percent(interval.high),
            "interval": interval.method,
            "n": len(scores),
        }
    return found


def percent(fraction: float, digits: int = 2) -> float:
    """A fraction in per cent, rounded."""
    return round(100 * fraction, digits)
