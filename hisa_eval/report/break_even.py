"""From which length on something is faster than flat DSA."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NONE = "none within the measured range"


@dataclass(frozen=True)
class BreakEven:
    """Where a ratio of times crosses 1 for the last time, upwards.

    Attributes:
        length: Interpolated, in tokens; None where there is no crossing within the range.
        between: Measured lengths around it.
        always: Faster at every measured length: the crossing, if any, lies below the shortest.
    """

    length: float | None
    between: tuple[int, int] | None = None
    always: bool = False


def break_even(lengths: Sequence[int], ratios: Sequence[float | None]) -> BreakEven:
    """The length from which on, up to the longest measured one, the ratio stays above 1.

    Between two measured lengths the logarithm of the ratio is taken as linear in the logarithm of the length.
    Nothing is extrapolated.

    Args:
        lengths: In tokens, ascending.
        ratios: Times faster than flat DSA at each; None where it is not known.
    """
    pairs = zip(lengths, ratios, strict=True)
    known = [(length, ratio) for length, ratio in pairs if ratio is not None and ratio > 0]
    if not known or known[-1][1] <= 1:
        return BreakEven(None)
    slower = [place for place, (_, ratio) in enumerate(known) if ratio <= 1]
    if not slower:
        return BreakEven(None, always=True)
    (short, low), (long, high) = known[slower[-1]], known[slower[-1] + 1]
    part = -math.log(low) / (math.log(high) - math.log(low))
    return BreakEven(math.exp(math.log(short) + part * (math.log(long) - math.log(short))), (short, long))
