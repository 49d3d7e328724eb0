"""From numbers to words: what agrees with the paper, what does not, and what cannot be told.

The rules are ours, for the paper gives no intervals: a difference counts as none where its whole interval
lies within `MARGIN`, a speed-up as the same where it lies within `NEAR` of the paper's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

MARGIN = 0.05
"""Differences in mean score up to this are no loss; the paper's largest in one category is 0.017."""
NEAR = 0.25
"""Speed-ups apart by up to this share of the paper's are called the same."""


class Verdict(StrEnum):
    """What a measurement says of a claim."""

    AGREES = "agrees"
    DIFFERS = "differs"
    OPEN = "cannot be told"
    OTHER = "not comparable"
    MISSING = "not measured"


@dataclass(frozen=True)
class Claim:
    """One statement of the paper beside what was found.

    Attributes:
        item: The figure or table.
        paper: What the paper says.
        found: What was measured, with n and interval.
        verdict: By the rules of this file.
        why: The rule's words.
        setting: On what it was measured.
    """

    item: str
    paper: str
    found: str
    verdict: Verdict
    why: str
    setting: str = ""


def missing(item: str, paper: str, what: str) -> Claim:
    """A claim that no run speaks of."""
    return Claim(item, paper, "–", Verdict.MISSING, f"no run given has {what}")


def close(low: float, high: float) -> tuple[Verdict, str]:
    """Whether a method scores as well as another.

    Args:
        low: Lower bound of its score minus the other's.
        high: Upper bound.
    """
    if math.isnan(low) or math.isnan(high):
        return Verdict.OPEN, "too few contexts for an interval"
    if low >= -MARGIN and high <= MARGIN:
        return Verdict.AGREES, f"the whole interval lies within ±{MARGIN:g}"
    if high < -MARGIN:
        return Verdict.DIFFERS, f"it loses more than {MARGIN:g}, by the whole interval"
    if low > MARGIN:
        return Verdict.DIFFERS, f"it gains more than {MARGIN:g}, by the whole interval"
    return Verdict.OPEN, f"the interval crosses ±{MARGIN:g}: more samples would tell"


def better(low: float, high: float) -> tuple[Verdict, str]:
    """Whether a method scores better than another; bounds as in `close`."""
    if math.isnan(low) or math.isnan(high):
        return Verdict.OPEN, "too few contexts for an interval"
    if low > 0:
        return Verdict.AGREES, "the whole interval lies above 0"
    if high < 0:
        return Verdict.DIFFERS, "the whole interval lies below 0"
    return Verdict.OPEN, "the interval holds 0: more samples would tell"


def near(found: float, paper: float) -> tuple[Verdict, str]:
    """Whether a speed-up is the paper's."""
    apart = found / paper - 1
    if abs(apart) <= NEAR:
        return Verdict.AGREES, f"within {NEAR:.0%} of the paper's"
    return Verdict.DIFFERS, f"{abs(apart):.0%} {'above' if apart > 0 else 'below'} the paper's"


def above(low: float, high: float, mean: float, bound: float) -> tuple[Verdict, str]:
    """Whether a mean lies above a bound; without an interval (one context, or equal rows) its value decides.

    Args:
        low: Lower bound of the mean, or NaN.
        high: Upper bound of the mean, or NaN.
        mean: The mean.
        bound: What the paper says it exceeds.
    """
    if math.isnan(low) or math.isnan(high):
        if mean == 1:
            return Verdict.AGREES, "all rows are the same as DSA's"
        return Verdict.OPEN, "one context has no interval"
    if low > bound:
        return Verdict.AGREES, f"the whole interval lies above {bound:g}"
    if high < bound:
        return Verdict.DIFFERS, f"the whole interval lies below {bound:g}"
    return Verdict.OPEN, f"the interval holds {bound:g}"


def all_of(verdicts: list[Verdict]) -> Verdict:
    """Of a claim about every layer or length: one that differs decides, then one that is open."""
    for one in (Verdict.DIFFERS, Verdict.OPEN):
        if one in verdicts:
            return one
    return Verdict.AGREES if verdicts else Verdict.MISSING
