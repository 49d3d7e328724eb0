"""Contexts: generated prose with statements put in between its sentences."""

from __future__ import annotations

from collections.abc import Sequence

from hisa_tasks.draws import Draws
from hisa_tasks.niah.haystacks.prose import prose_text


def prose(n_chars: int, *parts: str | int) -> str:
    """Whole sentences of generated prose, at most `n_chars` characters but one sentence at least.

    Args:
        n_chars: Size aimed at.
        parts: What the text depends on.
    """
    text = prose_text(*parts)
    text.ensure(n_chars + 1)
    end = text.start_at_or_before(max(n_chars, text.start_after(0)))
    return text.text[:end].rstrip()


def hide(statements: Sequence[str], n_chars: int, draws: Draws, *parts: str | int) -> str:
    """Prose of about `n_chars` characters with statements in it, in their order, at random places.

    Args:
        statements: Sentences.
        n_chars: Size of the whole, not exceeded.
        draws: Of the places.
        parts: What the prose depends on.
    """
    text = prose_text(*parts)
    room = n_chars - sum(len(one) + 1 for one in statements)
    text.ensure(room + 1)
    end = text.start_at_or_before(room)
    starts = [start for start in text.starts if start <= end]
    places = sorted(draws.choice(starts) for _ in statements)
    pieces: list[str] = []
    before = 0
    for place, statement in zip(places, statements, strict=True):
        pieces += (text.text[before:place], statement, " ")
        before = place
    return "".join((*pieces, text.text[before:end])).rstrip()
