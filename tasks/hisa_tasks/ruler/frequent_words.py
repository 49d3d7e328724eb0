"""Frequent words extraction: the three coded words that stand most often in a text of made-up words."""

from __future__ import annotations

import math
import string
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.ruler.base import Built, Count, Place, Recipe
from hisa_tasks.ruler.fit import Draft, exact
from hisa_tasks.ruler.texts import template

DOTS = "..."
"""What stands in the place of the most frequent word, as noise."""

_RESERVE = 2
_MOST_DOTS = 400


def zeta(alpha: float) -> float:
    """Riemann's zeta function for alpha > 1, by Euler and Maclaurin."""
    n = 200
    total = math.fsum(k**-alpha for k in range(1, n))
    total += n ** (1 - alpha) / (alpha - 1) + n**-alpha / 2 + alpha * n ** (-alpha - 1) / 12
    return total - alpha * (alpha + 1) * (alpha + 2) * n ** (-alpha - 3) / 720


def counts(n_words: int, n_coded: int, alpha: float) -> list[int]:
    """How often each of the coded words stands in a text, the most frequent first.

    Args:
        n_words: Words that the distribution is cut for; rounding makes the text shorter.
        n_coded: Coded words there are.
        alpha: Exponent.

    Source: NVIDIA/RULER, scripts/data/synthetic/freq_words_extraction.py.
    """
    scale = zeta(alpha)
    return [int(n_words * rank**-alpha / scale) for rank in range(1, n_coded + 1)]


def least_words(alpha: float) -> int:
    """Words from which on the fourth word is always rarer than the third asked for, and so are the others."""
    return math.ceil(zeta(alpha) / (4.0**-alpha - 5.0**-alpha))


def coded_text(vocabulary: Sequence[str], times: Sequence[int], draws: Draws) -> str:
    """Each word as often as said, in random order."""
    words = [word for word, n in zip(vocabulary, times, strict=True) for _ in range(n)]
    draws.shuffle(words)
    return " ".join(words)


@dataclass(frozen=True)
class FrequentWords(Recipe):
    """RULER's `fwe`: coded words with frequencies of a zeta distribution; the first rank is noise, `...`.

    As in the original there are as many coded words as a fiftieth of the prompt's tokens. Differences: a few
    more dots at the end make the length exact; a context so short that the words asked for could tie with
    the next one is refused.

    Args:
        alpha: Exponent of the distribution.
        n_letters: Of each coded word.
    """

    alpha: float = 2.0
    n_letters: int = 6

    def __post_init__(self) -> None:
        if self.alpha <= 1 or self.n_letters < 3:
            raise ValueError(
                f"frequent words with alpha {self.alpha} and {self.n_letters} letters – "
                "use an alpha above 1 and at least 3 letters"
            )

    def build(self, place: Place, budget: int, count: Count) -> Built:
        """See `Recipe.build`."""
        vocabulary = self._vocabulary(place.draws("coded words"), max(5, budget // 50))
        parts = template("frequent_words")
        tail = parts.tail()

        def compose(n_words: int) -> Draft[int]:
            times = counts(n_words, len(vocabulary), self.alpha)
            text = coded_text(vocabulary, times, place.draws("order"))
            return Draft(parts.before + text, tail, sum(times))

        def find(draft: Draft[int], want: int, nearby: Count) -> str | None:
            return _dots(want, nearby)

        least = least_words(self.alpha)
        n_words, draft, last = exact(compose, find, least, _RESERVE, budget, count)
        times = counts(n_words, len(vocabulary), self.alpha)
        return Built(
            draft.head + last + draft.tail,
            tuple(vocabulary[1:4]),
            (),
            {
                "alpha": self.alpha,
                "n_coded_words": sum(n > 0 for n in times) - 1,
                "n_words": draft.info,
                "frequencies": times[:5],
            },
        )

    def describe(self) -> dict[str, Any]:
        """See `Recipe.describe`."""
        return asdict(self)

    def _vocabulary(self, draws: Draws, n_coded: int) -> list[str]:
        """Dots, then distinct words of random letters."""
        words = dict.fromkeys((DOTS,))
        while len(words) < n_coded:
            words["".join(draws.choice(string.ascii_lowercase) for _ in range(self.n_letters))] = None
        return list(words)


def _dots(want: int, count: Count) -> str | None:
    """Words of dots, three each but for the last, that have exactly the wanted count."""
    near = bisect_right(range(_MOST_DOTS), want, key=lambda n: count(f" {DOTS}" * n))
    for n in range(max(0, near - 1), max(0, near - 5) - 1, -1):
        for last in (0, *range(1, 13)):
            text = f" {DOTS}" * n + (" " + "." * last if last else "")
            if text and count(text) == want:
                return text
    return None
