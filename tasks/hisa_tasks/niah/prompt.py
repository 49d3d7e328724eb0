"""One needle prompt: needles put into a haystack at their depths, filled to an exact length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hisa_tasks.niah.fit import MIN_HAYSTACK, Count, cut_point, last_sentence, text_after
from hisa_tasks.niah.haystacks.base import Haystack, HaystackText
from hisa_tasks.niah.needles.base import Needle, NeedleSet

_WINDOW = 256
"""Characters on either side of the last sentence that are encoded with it while it is fitted."""


@dataclass(frozen=True)
class Prompt:
    """A finished prompt and where its needles are.

    Attributes:
        text: The whole prompt, answer prefix included.
        needle_spans: Half-open character spans of the queried needles' sentences, in their order.
        value_spans: The same of their values.
        depth: Where the target needle stands, in percent of the haystack's characters.
    """

    text: str
    needle_spans: tuple[tuple[int, int], ...]
    value_spans: tuple[tuple[int, int], ...]
    depth: float


@dataclass(frozen=True)
class _Place:
    """Where a needle goes: before the sentence at `offset`, or after the last one (`offset` None)."""

    needle: Needle
    offset: int | None


class _Draft:
    """A prompt whose last sentence is still open."""

    def __init__(self, text: HaystackText, needles: NeedleSet, cut: int, places: list[_Place]) -> None:
        inside = sorted(
            (place for place in places if place.offset is not None), key=lambda place: place.offset or 0
        )
        self.spans: list[tuple[_Place, int, bool]] = []
        head = [needles.intro]
        position, done = len(needles.intro), 0
        for place in inside:
            offset = place.offset or 0
            head += (text.text[done:offset], place.needle.sentence, text.separator)
            position += offset - done
            self.spans.append((place, position, False))
            position += len(place.needle.sentence) + len(text.separator)
            done = offset
        head.append(text.text[done:cut])
        self.head = "".join(head)
        tail: list[str] = []
        position = 0
        for place in places:
            if place.offset is None:
                tail += (text.separator, place.needle.sentence)
                position += len(text.separator)
                self.spans.append((place, position, True))
                position += len(place.needle.sentence)
        self.tail = "".join((*tail, needles.question, needles.answer_prefix))

    def span_of(self, needle: Needle, last: str) -> tuple[int, int]:
        """Characters of a needle's sentence in the prompt with that last sentence."""
        start = next(
            position + (len(self.head) + len(last) if in_tail else 0)
            for place, position, in_tail in self.spans
            if place.needle is needle
        )
        return start, start + len(needle.sentence)


@dataclass(frozen=True)
class Cut:
    """Where a sample's haystack ends; the same for every depth of its target.

    Attributes:
        end: Characters of whole sentences.
        tokens: Room for the last, fitted sentence.
        rate: Tokens per character.
    """

    end: int
    tokens: int
    rate: float


def _draft(
    text: HaystackText, needles: NeedleSet, other_depths: Sequence[float], cut: int, offset: int | None
) -> _Draft:
    """The prompt with that cut and the target there."""
    others = [n for i, n in enumerate(needles.queried) if i != needles.target] + list(needles.distractors)
    aims = (text.start_nearest(percent / 100 * cut, cut) for percent in other_depths)
    places = [_Place(needle, aim) for needle, aim in zip(others, aims, strict=True)]
    return _Draft(text, needles, cut, [_Place(needles.queried[needles.target], offset), *places])


def find_cut(
    text: HaystackText, needles: NeedleSet, other_depths: Sequence[float], budget: int, count: Count
) -> Cut:
    """Where the haystack ends in a prompt of `budget` tokens.

    Args:
        text: The sample's text.
        needles: What to hide and ask.
        other_depths: Of the other queried needles and then of the distractors, in percent.
        budget: Tokens of the prompt.
        count: Tokens of a text.

    Raises:
        TooShortError: The budget has no room for needles, question and a little haystack.
    """

    def total_at(cut: int) -> int:
        draft = _draft(text, needles, other_depths, cut, 0)
        return count(draft.head + draft.tail)

    text.ensure(1)
    room = budget - total_at(0)
    if room < MIN_HAYSTACK:
        raise TooShortError(MIN_HAYSTACK - room)
    return Cut(*cut_point(text, budget, total_at, count))


def build_prompt(
    haystack: Haystack,
    text: HaystackText,
    needles: NeedleSet,
    depth: float,
    other_depths: Sequence[float],
    budget: int,
    count: Count,
    cut: Cut | None = None,
) -> Prompt:
    """Builds a prompt of exactly `budget` tokens.

    The cut of the haystack and the places of all needles but the target do not depend on the depth, so
    prompts of one sample share their text up to the first place where the target of either stands.

    Args:
        haystack: Where the text comes from.
        text: The sample's text of it.
        needles: What to hide and ask.
        depth: Of the target needle, in percent: 0 before the first sentence, 100 after the last.
        other_depths: Of the other queried needles and then of the distractors, in percent.
        budget: Tokens of the prompt.
        count: Tokens of a text.
        cut: From `find_cut` with the same arguments, where it is known.

    Returns:
        The prompt.

    Raises:
        TooShortError: The budget has no room for needles, question and a little haystack.
        ValueError: No filling gives that length with this tokenizer.
    """
    if cut is None:
        cut = find_cut(text, needles, other_depths, budget, count)
    text.ensure(cut.end + 1)
    end = cut.end + cut.tokens / cut.rate
    aim = depth / 100 * end
    start = text.start_nearest(aim, cut.end)
    offset = None if end - aim < abs(start - aim) else start
    draft = _draft(text, needles, other_depths, cut.end, offset)
    last = _fit(draft, haystack.filler(text_after(text, cut.end)), budget, count)
    n_chars = cut.end + len(last)
    spans = tuple(draft.span_of(needle, last) for needle in needles.queried)
    values = tuple(
        (start + needle.value_span[0], start + needle.value_span[1])
        for (start, _), needle in zip(spans, needles.queried, strict=True)
    )
    return Prompt(
        draft.head + last + draft.tail, spans, values, 100 * (n_chars if offset is None else offset) / n_chars
    )


class TooShortError(ValueError):
    """The budget is too small by `missing` tokens."""

    def __init__(self, missing: int) -> None:
        self.missing = missing
        super().__init__(f"the prompt needs {missing} more tokens – ask for a greater length")


def _fit(draft: _Draft, filler: str, budget: int, count: Count) -> str:
    """The last sentence with which the draft has exactly `budget` tokens."""
    left, right = draft.head[-_WINDOW:], draft.tail[:_WINDOW]

    def nearby(last: str) -> int:
        return count(left + last + right)

    want = nearby("") + budget - count(draft.head + draft.tail)
    for _ in range(8):
        last = last_sentence(filler, want, nearby)
        if last is None:
            break
        error = budget - count(draft.head + last + draft.tail)
        if not error:
            return last
        want += error
    raise ValueError(
        f"no filling of the haystack gives exactly {budget} prompt tokens with this tokenizer – "
        "ask for a length that differs by a few tokens, or for another haystack"
    )
