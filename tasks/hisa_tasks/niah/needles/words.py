"""Keys and values: adjective-noun pairs, seven-digit numbers, UUIDs."""

from __future__ import annotations

import uuid
from functools import cache
from importlib import resources

from hisa_tasks.draws import Draws

KINDS = ("numbers", "words", "uuids")


@cache
def word_list(name: str) -> tuple[str, ...]:
    """One of the shipped word lists, `"adjectives"` or `"nouns"`: distinct lower-case words, sorted."""
    text = resources.files("hisa_tasks.niah").joinpath("data", f"{name}.txt").read_text("utf-8")
    return tuple(text.split())


def draw_kind(kind: str, draws: Draws) -> str:
    """A random key or value.

    Args:
        kind: `"numbers"` (seven digits, no leading 0), `"words"` (adjective-noun) or `"uuids"` (version 4).
        draws: Where the randomness comes from.

    Returns:
        The text of the key or value.

    Source: NVIDIA/RULER, scripts/data/synthetic/niah.py, for the kinds; the word lists are this project's.
    """
    if kind == "numbers":
        return str(1_000_000 + draws.below(9_000_000))
    if kind == "words":
        return f"{draws.choice(word_list('adjectives'))}-{draws.choice(word_list('nouns'))}"
    if kind == "uuids":
        return str(uuid.UUID(int=draws.bits(128), version=4))
    raise ValueError(f"unknown kind of key or value {kind!r} – use one of {', '.join(KINDS)}")


def draw_new(kind: str, draws: Draws, taken: list[str]) -> str:
    """A random key or value that neither contains nor is part of one that is taken; it is then taken too."""
    while True:
        text = draw_kind(kind, draws)
        if not any(text in other or other in text for other in taken):
            taken.append(text)
            return text
