"""Words without end: the shipped list in random order, then invented ones."""

from __future__ import annotations

from hisa_tasks.draws import Draws
from hisa_tasks.ruler.texts import english_words

_ONSETS = ("b", "br", "c", "cl", "d", "dr", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
_ENDS = ("", "n", "r", "st", "l", "m", "t", "ck")


def invented(draws: Draws) -> str:
    """A word of three syllables that looks English and is none."""
    start = "".join(draws.choice(_ONSETS) + draws.choice(_VOWELS) for _ in range(2))
    return start + draws.choice(_ONSETS) + draws.choice(_VOWELS) + draws.choice(_ENDS)


def shuffled_words(draws: Draws) -> list[str]:
    """The shipped words in random order."""
    words = list(english_words())
    draws.shuffle(words)
    return words


class WordStream:
    """Distinct words, as many as asked for, none of which contains a forbidden one, whatever the case.

    Args:
        listed: Words that come first, in this order.
        forbidden: What no word may contain.
        draws: Of the invented words that follow.
    """

    def __init__(self, listed: list[str], forbidden: list[str], draws: Draws) -> None:
        self._forbidden = tuple(word.lower() for word in forbidden)
        self.words = [word for word in listed if self._free(word)]
        self.n_listed = len(self.words)
        self._known = set(listed)
        self._draws = draws

    def first(self, n_words: int) -> list[str]:
        """The first words of the stream; it never changes what it gave before."""
        while len(self.words) < n_words:
            word = invented(self._draws)
            if word not in self._known and self._free(word):
                self._known.add(word)
                self.words.append(word)
        return self.words[:n_words]

    def joined(self, words: list[str]) -> list[str]:
        """Pairs of the words with a hyphen between them, as far as they are allowed; for tokenizers that make
        the same number of tokens of every single word."""
        pairs = (f"{one}-{other}" for one, other in zip(words, reversed(words), strict=True) if one != other)
        return [pair for pair in pairs if pair not in self._known and self._free(pair)]

    def _free(self, word: str) -> bool:
        return not any(part in word.lower() for part in self._forbidden)
