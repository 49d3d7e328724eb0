"""Draws are the same everywhere: pinned, and of the right shape."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from hisa_tasks.draws import Draws, seed_of
from hisa_tasks.niah.needles.words import draw_kind, draw_new, word_list


def test_pinned_values() -> None:
    assert hex(seed_of("a", 1))[:18] == "0x5451178dbc2d494b"
    draws = Draws("a", 1)
    assert [draws.below(1000) for _ in range(5)] == [589, 903, 250, 310, 741]
    assert draws.bits(64) == 4129355314818513753


def test_parts_are_kept_apart() -> None:
    assert len({seed_of("a", "bc"), seed_of("ab", "c"), seed_of("abc"), seed_of("a", "b", "c")}) == 4
    assert seed_of(12) == seed_of("12")


def test_choice_and_shuffle_reach_everything() -> None:
    draws = Draws("fair")
    counts = Counter(draws.choice("abcd") for _ in range(4000))
    assert set(counts) == set("abcd")
    assert min(counts.values()) > 850
    firsts = Counter()
    for _ in range(3000):
        items = [0, 1, 2]
        draws.shuffle(items)
        assert sorted(items) == [0, 1, 2]
        firsts[tuple(items)] += 1
    assert len(firsts) == 6
    assert min(firsts.values()) > 400


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("numbers", r"[1-9]\d{6}"),
        ("words", r"[a-z]+-[a-z]+"),
        ("uuids", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
    ],
)
def test_kinds(kind: str, pattern: str) -> None:
    draws = Draws("kinds", kind)
    assert all(re.fullmatch(pattern, draw_kind(kind, draws)) for _ in range(200))


def test_unknown_kind() -> None:
    with pytest.raises(
        ValueError, match="unknown kind of key or value 'colours' – use one of numbers, words, uuids"
    ):
        draw_kind("colours", Draws("x"))


def test_new_draws_never_contain_each_other() -> None:
    taken: list[str] = []
    draws = Draws("many")
    for _ in range(400):
        draw_new("words", draws, taken)
    assert not any(one in other for one in taken for other in taken if one is not other)


@pytest.mark.parametrize("name", ["adjectives", "nouns"])
def test_word_lists(name: str) -> None:
    words = word_list(name)
    assert len(words) > 400
    assert list(words) == sorted(set(words))
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
