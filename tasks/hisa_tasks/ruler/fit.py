"""Prompts of an exact token length, made of as many items as fit and one fitted part.

Nothing here knows how the tokenizer works. A few encodings of the whole text find the number of items, many
of a few hundred characters find the fitted part, and one encoding of the finished prompt proves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hisa_tasks.niah.prompt import TooShortError
from hisa_tasks.ruler.base import Count

T = TypeVar("T")

_WINDOW = 256
"""Characters on either side of the fitted part that are encoded with it while it is sought."""

_TRIES = 5
"""Numbers of items that are tried, each one less than the one before."""


@dataclass(frozen=True)
class Draft(Generic[T]):
    """A prompt with a number of items, open at one point.

    Attributes:
        head: Everything before the fitted part.
        tail: Everything after it.
        info: What the caller wants to know of it later.
    """

    head: str
    tail: str
    info: T


Find = Callable[[Draft[T], int, Count], str | None]
"""Given a draft, a count to reach and the count of the text around a candidate part, a part of that count."""


def exact(
    compose: Callable[[int], Draft[T]], find: Find[T], least: int, reserve: int, budget: int, count: Count
) -> tuple[int, Draft[T], str]:
    """A prompt of exactly `budget` tokens with as many items as fit.

    Args:
        compose: The prompt with a number of items, without its fitted part.
        find: Seeks the fitted part.
        least: Items that a prompt has at least.
        reserve: Tokens that the fitted part has at least.
        budget: Tokens of the prompt.
        count: Tokens of a text.

    Returns:
        The number of items, the draft, the fitted part.

    Raises:
        TooShortError: The budget has no room for the least prompt.
        ValueError: No fitted part gives that length with this tokenizer.
    """
    most = _largest(lambda n: count(_whole(compose(n))), least, budget - reserve)
    for n_items in range(most, max(least, most - _TRIES + 1) - 1, -1):
        draft = compose(n_items)
        part = _fitted(draft, find, budget, count)
        if part is not None:
            return n_items, draft, part
    raise ValueError(
        f"no text of this task has exactly {budget} prompt tokens with this tokenizer – "
        "ask for a length that differs by a few tokens"
    )


def _whole(draft: Draft[T]) -> str:
    return draft.head + draft.tail


def _largest(total: Callable[[int], int], least: int, budget: int) -> int:
    """The largest number of items, from `least`, whose total is within the budget."""
    low, low_total = least, total(least)
    if low_total > budget:
        raise TooShortError(low_total - budget)
    high, high_total, step = 0, 0, 16
    while not high:
        there = low + step
        there_total = total(there)
        if there_total > budget:
            high, high_total = there, there_total
        else:
            per_item = max((there_total - low_total) / step, 1e-3)
            low, low_total = there, there_total
            step = max(1, min(4 * low, int((budget - low_total) / per_item) + 1))
    for turn in range(64):
        if high - low < 2:
            break
        share = (budget - low_total) / max(high_total - low_total, 1)
        jump = int(share * (high - low)) if turn % 4 < 3 else (high - low) // 2
        there = low + max(1, min(high - low - 1, jump))
        there_total = total(there)
        if there_total > budget:
            high, high_total = there, there_total
        else:
            low, low_total = there, there_total
    return low


def _fitted(draft: Draft[T], find: Find[T], budget: int, count: Count) -> str | None:
    """The part with which the draft has exactly `budget` tokens, or None."""
    left, right = draft.head[-_WINDOW:], draft.tail[:_WINDOW]

    def nearby(part: str) -> int:
        return count(left + part + right)

    want = nearby("") + budget - count(_whole(draft))
    for _ in range(8):
        part = find(draft, want, nearby)
        if part is None:
            return None
        error = budget - count(draft.head + part + draft.tail)
        if not error:
            return part
        want += error
    return None
