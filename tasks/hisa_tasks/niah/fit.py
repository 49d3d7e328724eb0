"""Prompts of an exact token length: where to cut the haystack, and how its last sentence ends.

Nothing here knows how the tokenizer works. A few encodings of the whole text and many of a few hundred
characters find the length, and one encoding of the finished prompt proves it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator

from hisa_tasks.niah.haystacks.base import HaystackText

Count = Callable[[str], int]
CountAt = Callable[[int], int]

MIN_HAYSTACK = 16
"""Tokens of haystack that a prompt has at least; also the least room for the last, fitted sentence."""

_SPARE = 1024
"""Characters beyond the next sentence that the last one may draw on: far more than `MIN_HAYSTACK` tokens."""

_PROBE = 8192
_WORD = re.compile(r"\S+")
_LOOSE = " \t\r\n.,;:!?'\"“”‘’()[]–—-…"
_LINK = re.compile(
    r"\b(?:an?|and|as|at|because|before|but|by|for|from|had|his|her|if|in|it|its|no|of|on|one|or|so|than|that|the"
    r"|their|them|then|they|though|to|until|was|were|when|where|while|who|with|without)$",
    re.IGNORECASE,
)
_CLOSERS = (
    ".",
    " on.",
    " too.",
    " then.",
    " again.",
    " indeed.",
    " at last.",
    " at first.",
    " by chance.",
    " in the end.",
    " once again.",
    " step by step.",
    " day after day.",
    " without a word.",
    " once in a while.",
    " little by little.",
    " in the old manner.",
    " for the time being.",
    " the whole afternoon.",
    " for reasons unknown.",
    " as everyone could see.",
    " to everyone's surprise.",
    " for no particular reason.",
)


def cut_point(text: HaystackText, budget: int, total: CountAt, count: Count) -> tuple[int, int, float]:
    """The last sentence start that leaves room for a last, fitted sentence.

    Args:
        text: The haystack.
        budget: Tokens of the prompt, at least `total(0) + MIN_HAYSTACK`.
        total: Tokens of the whole prompt with the haystack up to an offset.
        count: Tokens of a text.

    Returns:
        Characters before the cut, tokens left for the last sentence, tokens per character.
    """
    text.ensure(_PROBE)
    rate = max(count(text.text[:_PROBE]) / _PROBE, 1e-3)
    best, left = 0, budget - total(0)
    cut = _moved(text, 0, left - MIN_HAYSTACK, rate, count)
    for _ in range(8):
        if cut <= best:
            break
        free = budget - total(cut)
        if free >= MIN_HAYSTACK:
            best, left = cut, free
        rate = max((budget - free) / cut, 1e-3)
        cut = _moved(text, cut, free - MIN_HAYSTACK, rate, count)
    return best, left, rate


def _moved(text: HaystackText, cut: int, tokens: int, rate: float, count: Count) -> int:
    """The sentence start that lies `tokens` after a cut (before it if negative), the earlier one of two."""
    for _ in range(8):
        offset = max(0, cut + int(tokens / rate))
        text.ensure(offset + 1)
        aim = text.start_at_or_before(offset)
        if aim == cut:
            break
        span = count(text.text[min(cut, aim) : max(cut, aim)])
        rate = max(span / abs(aim - cut), 1e-3)
        tokens += span if aim < cut else -span
        cut = aim
    while tokens < 0 and cut:
        aim = text.start_at_or_before(cut - 1)
        cut, tokens = aim, tokens + count(text.text[aim:cut])
    while True:
        aim = text.start_after(cut)
        tokens -= count(text.text[cut:aim])
        if tokens < 0:
            return cut
        cut = aim


def text_after(text: HaystackText, cut: int) -> str:
    """The text after a cut point that its last sentence is made of."""
    end = text.start_after(cut) + _SPARE
    text.ensure(end)
    return text.text[cut:end]


def last_sentence(filler: str, want: int, count: Count) -> str | None:
    """A last sentence that makes a text exactly as long as wanted.

    Whole words come first, with one of several endings; then cut words; then words said over and over.

    Args:
        filler: Where its words come from.
        want: The count to reach.
        count: Tokens of the text around it with a candidate in place; grows with the candidate.

    Returns:
        The sentence, or None where no candidate has exactly that count.
    """
    word_ends = [match.end() for match in _WORD.finditer(filler)]
    for candidate in _candidates(filler, word_ends, want, count):
        if count(candidate) == want:
            return candidate
    return None


def _candidates(filler: str, word_ends: list[int], want: int, count: Count) -> Iterator[str]:
    """Sentences of about the wanted count, the most natural first."""
    for ends, back in ((word_ends, 12), (list(range(1, len(filler) + 1)), 16)):
        near = bisect_left(ends, want, key=lambda end: count(_stem(filler, end) + "."))
        stems = [_stem(filler, end) for end in reversed(ends[max(0, near - back) : near + 2])]
        for stem in sorted(filter(None, stems), key=lambda stem: _LINK.search(stem) is not None):
            yield from (stem + closer for closer in _CLOSERS)
    first = _stem(filler, word_ends[0]) if word_ends else "And"
    for unit in (" on", ".", "-", "x"):
        for n in range(64):
            yield first + unit * n + "."


def _stem(filler: str, end: int) -> str:
    return filler[:end].rstrip(_LOOSE)
