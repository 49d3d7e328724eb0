"""Common words extraction: which words stand most often in a long numbered list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.prompt import TooShortError
from hisa_tasks.ruler.base import Built, Count, Place, Recipe
from hisa_tasks.ruler.fit import Draft, exact
from hisa_tasks.ruler.texts import data_sha256, template
from hisa_tasks.ruler.words import WordStream, shuffled_words

SHORT = 4096
"""Below this length RULER repeats words less often."""

_LEAST_UNCOMMON = 10
_SPARE = 160
_RESERVE = 4


@dataclass(frozen=True)
class Frequencies:
    """How often words are repeated, in the list that is asked about and in the worked example.

    Attributes:
        common: Of each common word.
        uncommon: Of each other word.
        example_common: The same in the example.
        example_uncommon: The same in the example.
        example_words: Distinct words of the example.
    """

    common: int
    uncommon: int
    example_common: int
    example_uncommon: int
    example_words: int


def numbered(words: Sequence[str], first: int = 1) -> str:
    """`"1. word 2. word"`."""
    return " ".join(f"{number}. {word}" for number, word in enumerate(words, first))


def repeated(
    common: Sequence[str], times: int, others: Sequence[str], rarely: int, draws: Draws
) -> list[str]:
    """Common words `times` each and others `rarely` each, in random order."""
    words = list(common) * times + list(others) * rarely
    draws.shuffle(words)
    return words


def example_text(entries: Sequence[str], answer: Sequence[str]) -> str:
    """The worked example: list, question, answer."""
    parts = template("common_words")
    return f"{parts.before}{numbered(entries)}{parts.tail()} {numbered(answer)}"


@dataclass(frozen=True)
class CommonWords(Recipe):
    """RULER's `cwe`: ten words many times, other words a few times, one worked example before it.

    Frequencies are RULER's, which has others below 4096 tokens. Those are also used where a longer context
    has no room for the usual ones (with a tokenizer of bytes); `meta["frequencies"]` says which.

    Differences from the official generator: the list's last few words (or pairs of words with a hyphen) are
    other ones once each, so that the length is exact; no word contains a common one, so that only common
    words score; words beyond the 8,166 of wonderwords are invented, where the original takes all words from
    another list of English words.

    Args:
        n_common: Words asked for.
        usual: From 4096 tokens on.
        short: Below.
    """

    n_common: int = 10
    usual: Frequencies = Frequencies(30, 3, 10, 3, 40)
    short: Frequencies = Frequencies(6, 1, 3, 1, 20)

    def build(self, place: Place, budget: int, count: Count) -> Built:
        """See `Recipe.build`."""
        if place.length >= SHORT:
            try:
                return self._build(self.usual, place, budget, count)
            except TooShortError:
                pass
        return self._build(self.short, place, budget, count)

    def describe(self) -> dict[str, Any]:
        """See `Recipe.describe`."""
        return {**asdict(self), "words_sha256": data_sha256("words.txt"), "short_below": SHORT}

    def _build(self, often: Frequencies, place: Place, budget: int, count: Count) -> Built:
        draws = place.draws("words")
        listed = shuffled_words(draws)
        common = self._common(listed)
        stream = WordStream(listed, common, place.draws("invented words"))
        intro = self._example(often, stream, place) + "\n" + template("common_words").before
        tail = template("common_words").tail()

        def compose(n_uncommon: int) -> Draft[int]:
            others = stream.first(n_uncommon)
            entries = repeated(common, often.common, others, often.uncommon, place.draws("order"))
            return Draft(intro + numbered(entries), tail, len(entries))

        def find(draft: Draft[int], want: int, nearby: Count) -> str | None:
            n_used = (draft.info - self.n_common * often.common) // often.uncommon
            spare = stream.first(n_used + _SPARE)[n_used:]
            found = _single_words(spare, draft.info + 1, want, nearby)
            return found or _single_words(spare + stream.joined(spare), draft.info + 1, want, nearby)

        n_uncommon, draft, last = exact(compose, find, _LEAST_UNCOMMON, _RESERVE, budget, count)
        n_single = last.count(". ")
        return Built(
            draft.head + last + draft.tail,
            tuple(common),
            (),
            {
                "frequencies": [often.common, often.uncommon],
                "n_words": self.n_common + n_uncommon + n_single,
                "n_single_words": n_single,
                "n_invented_words": max(0, n_uncommon - stream.n_listed),
            },
        )

    def _common(self, listed: list[str]) -> list[str]:
        """The first words of which none contains another."""
        common: list[str] = []
        for word in listed:
            low = word.lower()
            if not any(low in other.lower() or other.lower() in low for other in common):
                common.append(word)
            if len(common) == self.n_common:
                break
        return common

    def _example(self, often: Frequencies, stream: WordStream, place: Place) -> str:
        draws = place.draws("example")
        words = list(stream.words)
        draws.shuffle(words)
        answer = words[: self.n_common]
        others = words[self.n_common : often.example_words]
        entries = repeated(answer, often.example_common, others, often.example_uncommon, draws)
        return example_text(entries, answer)


def _single_words(spare: Sequence[str], first: int, want: int, count: Count) -> str | None:
    """A few more entries for the list that have exactly the wanted count, of words used once.

    Args:
        spare: Words to use.
        first: Number of the first entry.
        want: The count to reach.
        count: Tokens of the text around the entries.
    """
    unit = max(1, count(f" {first}. {spare[0]}") - count(""))
    tried: set[tuple[int, int]] = set()

    def search(text: str, number: int, words: Sequence[str], depth: int) -> str | None:
        missing = want - count(text)
        if missing == 0:
            return text
        if depth == 0 or missing < 0 or (number, missing) in tried:
            return None
        tried.add((number, missing))
        options: dict[int, str] = {}
        for word in words:
            options.setdefault(count(f"{text} {number}. {word}"), word)
            if want in options:
                return f"{text} {number}. {options[want]}"
        if missing <= unit // 2:
            return None
        for _, word in sorted(options.items())[: 16 if missing < 4 * unit else 1]:
            rest = [other for other in words if other != word]
            found = search(f"{text} {number}. {word}", number + 1, rest, depth - 1)
            if found is not None:
                return found
        return None

    return search("", first, spare, 12)
