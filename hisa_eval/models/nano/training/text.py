"""Haystack text for training: six kinds, all generated or taken from the Python installation at hand.

None of it is shared with the evaluation haystacks of `hisa_tasks`: no sentence grammar, no word list.
"""

from __future__ import annotations

import ast
import itertools
import random
import re
import sysconfig
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

_CONSONANTS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "st",
    "tr",
    "ch",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ou"]
_CODAS = ["", "", "n", "r", "s", "t", "l", "nd", "ck"]


def pseudo_word(rng: random.Random) -> str:
    """A pronounceable word of one to four syllables that means nothing."""
    syllables = rng.choice((1, 2, 2, 3, 3, 4))
    return "".join(
        rng.choice(_CONSONANTS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(syllables)
    )


def letters_word(rng: random.Random) -> str:
    """Three to nine random lower-case letters."""
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9)))


@lru_cache(maxsize=1)
def library_source() -> bytes:
    """The Python standard library's modules, in name order, one after the other."""
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(path for path in root.glob("*.py") if path.is_file())
    paths += sorted(
        path for folder in ("asyncio", "email", "json", "logging") for path in (root / folder).glob("*.py")
    )
    return b"\n".join(path.read_bytes() for path in paths)


@lru_cache(maxsize=1)
def library_documentation() -> bytes:
    """Running English of the Python standard library: its help topics and the docstrings of its modules."""
    root = Path(sysconfig.get_paths()["stdlib"])
    pieces = list(_help_topics(root))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if parts[0] not in ("site-packages", "dist-packages", "test", "idlelib", "pydoc_data"):
            pieces += _docstrings(path)
    return "\n\n".join(piece for piece in pieces if piece).encode("ascii", "ignore")


def _help_topics(root: Path) -> Iterator[str]:
    path = root / "pydoc_data" / "topics.py"
    if path.is_file():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield _reflowed(node.value)


def _docstrings(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return []
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, owners))
    return [_reflowed(text) for text in found if text]


def _reflowed(text: str) -> str:
    """Paragraphs of some length on one line each, as running prose is; examples are left out."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(part for part in paragraphs if len(part) > 60 and ">>>" not in part)


@lru_cache(maxsize=1)
def library_english() -> list[str]:
    """Lower-case words of the standard library's help topics, as running text."""
    topics = Path(sysconfig.get_paths()["stdlib"]) / "pydoc_data" / "topics.py"
    text = (
        topics.read_text(encoding="utf-8") if topics.exists() else library_source().decode("utf-8", "ignore")
    )
    return re.findall(r"[a-z]{2,12}", text.replace("\\n", " ").lower())


@lru_cache(maxsize=1)
def _followers() -> dict[str, list[str]]:
    words = library_english()
    table: dict[str, list[str]] = {}
    for first, second in itertools.pairwise(words):
        table.setdefault(first, []).append(second)
    return table


@lru_cache(maxsize=1)
def english_vocabulary() -> list[str]:
    """Distinct words of `library_english`, sorted."""
    return sorted(set(library_english()))


def read_library() -> None:
    """Read the standard library's texts, which are kept from then on."""
    library_source()
    library_documentation()
    english_vocabulary()
    _followers()


def _punctuated(words: list[str], rng: random.Random) -> bytes:
    out: list[str] = []
    i = 0
    while i < len(words):
        n = rng.randint(4, 16)
        sentence = words[i : i + n]
        i += n
        if len(sentence) > 8 and rng.random() < 0.5:
            sentence[len(sentence) // 2] += ","
        out.append(sentence[0].capitalize() + " " + " ".join(sentence[1:]) + rng.choice(("." * 6 + "?!")[:8]))
        out.append("\n" if rng.random() < 0.04 else "\n\n" if rng.random() < 0.04 else " ")
    return "".join(out).encode()


def zipf_words(n_bytes: int, rng: random.Random) -> bytes:
    """Sentences over a fresh vocabulary whose word frequencies follow Zipf's law."""
    size = min(rng.choice((50, 200, 1000, 4000)), max(20, n_bytes // 20))
    make = rng.choice((pseudo_word, letters_word))
    vocabulary = np.array([make(rng) for _ in range(size)], dtype=object)
    if rng.random() < 0.5:
        english = english_vocabulary()
        vocabulary[: size // 2] = rng.sample(english, min(size // 2, len(english)))
    frequency = 1.0 / np.arange(1, size + 1) ** rng.uniform(0.6, 1.1)
    draw = np.random.default_rng(rng.getrandbits(64))
    words = draw.choice(vocabulary, size=n_bytes // 5 + 8, p=frequency / frequency.sum()).tolist()
    return _punctuated(words, rng)


def markov_english(n_bytes: int, rng: random.Random) -> bytes:
    """Sentences from a word-pair chain over the standard library's help topics."""
    table = _followers()
    word = rng.choice(english_vocabulary())
    words: list[str] = []
    for _ in range(n_bytes // 5 + 8):
        words.append(word)
        word = rng.choice(table.get(word) or english_vocabulary())
    return _punctuated(words, rng)


def source_code(n_bytes: int, rng: random.Random) -> bytes:
    """A stretch of the standard library's source."""
    source = library_source()
    start = rng.randrange(max(1, len(source) - n_bytes))
    return source[start : start + n_bytes]


def documentation(n_bytes: int, rng: random.Random) -> bytes:
    """A stretch of the standard library's documentation."""
    text = library_documentation() or library_source()
    start = rng.randrange(max(1, len(text) - n_bytes))
    return text[start : start + n_bytes]


def noise_sentences(n_bytes: int, rng: random.Random) -> bytes:
    """The same few short sentences over and over."""
    line = _punctuated(
        [rng.choice((pseudo_word, letters_word))(rng) for _ in range(rng.randint(10, 40))], rng
    )
    if rng.random() < 0.5:
        line = _punctuated(rng.sample(english_vocabulary(), rng.randint(10, 40)), rng)
    line = line.replace(b"\n", b" ").strip() + rng.choice((b" ", b"\n"))
    return line * (n_bytes // len(line) + 1)


def number_lists(n_bytes: int, rng: random.Random) -> bytes:
    """Lines of numbers, some with a word in front."""
    lines: list[str] = []
    size = 0
    while size < n_bytes:
        numbers = " ".join(str(rng.randrange(10 ** rng.randint(1, 8))) for _ in range(rng.randint(1, 12)))
        lines.append(f"{pseudo_word(rng)}: {numbers}" if rng.random() < 0.5 else numbers)
        size += len(lines[-1]) + 1
    return "\n".join(lines).encode()


_KINDS: tuple[tuple[Callable[[int, random.Random], bytes], float], ...] = (
    (documentation, 0.3),
    (zipf_words, 0.24),
    (markov_english, 0.18),
    (source_code, 0.12),
    (noise_sentences, 0.1),
    (number_lists, 0.06),
)


def haystack(n_bytes: int, rng: random.Random) -> bytes:
    """Exactly `n_bytes` of text of one or two kinds.

    Args:
        n_bytes: Length in bytes.
        rng: Source of every choice.
    """
    makers, shares = zip(*_KINDS, strict=True)
    parts: list[bytes] = []
    left = n_bytes
    while left > 0:
        piece = left if rng.random() < 0.6 else max(1, left // 2)
        part = rng.choices(makers, shares)[0](piece, rng)[:piece]
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
