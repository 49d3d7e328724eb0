"""How lengths and depths are written.

Lengths: `8k..128k`, `4k,16k,1m`, `8k:64k:8k`. Depths: `11`, `0,25.5,100`, `random:5`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from hisa_eval.errors import UserError

K = 1024
M = 1024 * 1024
MAX_LENGTH = 1 << 30
MAX_ITEMS = 1000

LENGTHS_HELP = "write 8k..128k (doubling), 4k,16k,1m or 8k:64k:8k (start:stop:step); k = 1024, m = 1048576"
DEPTHS_HELP = "write a count (11), percentages (0,25.5,100 or 50%) or random:COUNT"

_LENGTH = re.compile(r"(\d{1,12})([km]?)", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\d{1,9}(\.\d+)?", re.ASCII)


def parse_length(text: str) -> int:
    """One length in tokens.

    Args:
        text: Digits with an optional `k` (1024) or `m` (1048576), e.g. `"8k"`.

    Returns:
        The number of tokens, at least 1.

    Raises:
        UserError: `text` is not a length.
    """
    match = _LENGTH.fullmatch(text.strip())
    if not match:
        raise UserError(f"{text.strip()!r} is not a length", LENGTHS_HELP)
    value = int(match[1]) * {"": 1, "k": K, "m": M}[match[2].lower()]
    if not 1 <= value <= MAX_LENGTH:
        raise UserError(f"length {text.strip()!r} is outside 1..1024m tokens", LENGTHS_HELP)
    return value


def format_length(length: int) -> str:
    """The shortest way to write a length: `8192` -> `"8k"`; `parse_length` reads it back."""
    if length >= M and length % M == 0:
        return f"{length // M}m"
    if length >= K and length % K == 0:
        return f"{length // K}k"
    return str(length)


def _span(text: str) -> list[int]:
    """The lengths of one comma-separated item."""
    if ".." in text:
        ends = text.split("..")
        if len(ends) != 2:
            raise UserError(f"{text!r} is not a range of lengths", LENGTHS_HELP)
        start, stop = (parse_length(end) for end in ends)
        out = [start]
        while out[-1] < stop:
            out.append(out[-1] * 2)
        if out[-1] != stop:
            reached = out[-2] if len(out) > 1 else start
            raise UserError(
                f"{text!r} never meets {format_length(stop)} by doubling {format_length(start)}",
                f"end at {format_length(reached)} or {format_length(out[-1])}, or list the lengths: 4k,16k",
            )
        return out
    if ":" in text:
        parts = text.split(":")
        if len(parts) != 3:
            raise UserError(f"{text!r} is not start:stop:step", LENGTHS_HELP)
        start, stop, step = (parse_length(part) for part in parts)
        if stop < start or (stop - start) % step:
            raise UserError(
                f"{text!r} never meets {format_length(stop)} in steps of {format_length(step)}",
                "choose a stop that is start plus whole steps, as in 8k:64k:8k",
            )
        if (stop - start) // step >= MAX_ITEMS:
            raise UserError(f"{text!r} names more than {MAX_ITEMS} lengths", "take a larger step")
        return list(range(start, stop + 1, step))
    return [parse_length(text)]


def parse_lengths(spec: str | int | Iterable[str | int]) -> tuple[int, ...]:
    """The lengths of a run, ascending, each once.

    Args:
        spec: The written form, one number, or (from a YAML file) a list of either.

    Returns:
        Lengths in tokens.

    Raises:
        UserError: malformed, in one line with the grammar.
    """
    if isinstance(spec, str):
        items: list[str] = spec.split(",")
    elif isinstance(spec, Iterable):
        items = [str(item) for item in spec]
    else:
        items = [str(spec)]
    lengths: set[int] = set()
    for item in items:
        if not item.strip():
            shown = ",".join(items)
            raise UserError(f"lengths {shown!r} have an empty item", LENGTHS_HELP)
        lengths.update(_span(item.strip()))
    if not lengths:
        raise UserError("no lengths given", LENGTHS_HELP)
    return tuple(sorted(lengths))


def format_lengths(lengths: Iterable[int]) -> str:
    """A list of lengths as it is written; `parse_lengths` reads it back."""
    return ",".join(format_length(length) for length in lengths)


def _percentage(text: str) -> float:
    """One depth in per cent of the haystack."""
    number = text.strip().removesuffix("%").strip()
    if not _NUMBER.fullmatch(number):
        if re.fullmatch(r"-\d+(\.\d+)?", number, re.ASCII):
            raise UserError(f"depth {text.strip()} is outside 0–100", DEPTHS_HELP)
        raise UserError(f"{text.strip()!r} is not a depth", DEPTHS_HELP)
    value = float(number)
    if not 0 <= value <= 100:
        raise UserError(f"depth {text.strip()} is outside 0–100", DEPTHS_HELP)
    return round(value, 2)


def _count(text: str, what: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not 1 <= int(text) <= MAX_ITEMS:
        raise UserError(f"{what} {text!r} is not a count between 1 and {MAX_ITEMS}", DEPTHS_HELP)
    return int(text)


def evenly_spaced(count: int) -> tuple[float, ...]:
    """`count` depths from 0 to 100 with equal gaps; a single one sits in the middle."""
    if count == 1:
        return (50.0,)
    return tuple(round(100 * i / (count - 1), 2) for i in range(count))


def random_depths(count: int, seed: int) -> tuple[float, ...]:
    """One random depth in each of `count` equal strata of 0–100, the same for the same seed.

    A regular grid puts needles at places that happen to suit blocks; random ones do not.
    """
    rng = random.Random(f"depths/{seed}")
    return tuple(round(100 * (i + rng.random()) / count, 2) for i in range(count))


def parse_depths(spec: str | int | float | Iterable[str | int | float], seed: int = 0) -> tuple[float, ...]:
    """The needle's depths of a run in per cent, ascending, each once.

    Args:
        spec: A count, percentages, `random:COUNT`, or (from a YAML file) a list of percentages.
        seed: Seed of random depths.

    Returns:
        Depths between 0 and 100, rounded to two decimals.

    Raises:
        UserError: malformed or outside 0–100, in one line with the grammar.
    """
    if isinstance(spec, bool):
        raise UserError(f"{spec!r} is not a depth", DEPTHS_HELP)
    if isinstance(spec, str):
        text = spec.strip()
        if text.startswith("random:"):
            return tuple(
                sorted(set(random_depths(_count(text.removeprefix("random:"), "depths random:"), seed)))
            )
        if "," not in text and "%" not in text and "." not in text and not text.startswith("-"):
            if re.fullmatch(r"\d+", text, re.ASCII):
                return evenly_spaced(_count(text, "depths"))
            raise UserError(f"{text!r} is not a count or list of depths", DEPTHS_HELP)
        items: list[str] = [item for item in text.split(",") if item.strip()]
    elif isinstance(spec, Iterable):
        items = [str(item) for item in spec]
    elif isinstance(spec, int):
        return parse_depths(str(spec), seed)
    else:
        items = [str(spec)]
    if not items:
        raise UserError("no depths given", DEPTHS_HELP)
    return tuple(sorted({_percentage(item) for item in items}))


def format_depth(depth: float) -> str:
    """A depth as it is written, without needless decimals: `25.5`, `100`."""
    return f"{depth:g}"


def format_depths(depths: Iterable[float]) -> str:
    """A list of depths as it is written; `parse_depths` reads it back."""
    return ",".join(f"{format_depth(depth)}%" for depth in depths)
