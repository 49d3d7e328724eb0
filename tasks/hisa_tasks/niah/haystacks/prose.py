"""Generated English prose: scenes, people and things from a grammar, no sentence twice in a text."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.haystacks.base import Haystack, HaystackText
from hisa_tasks.niah.needles.base import NeedleFamily, NeedleSet

VERSION = 1
_SLOT = re.compile(r"\{(\w+)\}")
_AN = re.compile(r"~a (?=[aeiou])")
_PRONOUNS = {"women": ("she", "her", "herself"), "men": ("he", "him", "himself")}


def grammar_bytes() -> bytes:
    """The grammar file as shipped, with line ends as `\\n`."""
    data = resources.files("hisa_tasks.niah").joinpath("data", "prose.toml").read_bytes()
    return data.replace(b"\r\n", b"\n")


@dataclass(frozen=True, eq=False)
class _Phrase:
    """A phrase split at its slots: literal, slot, literal, …, literal; compared by identity, for speed."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class _Grammar:
    patterns: tuple[_Phrase, ...]
    scenes: tuple[dict[str, tuple[_Phrase, ...]], ...]
    people: tuple[tuple[str, dict[str, str]], ...]


def _phrases(texts: list[str]) -> tuple[_Phrase, ...]:
    return tuple(_Phrase(tuple(_SLOT.split(text))) for text in texts)


@cache
def _grammar() -> _Grammar:
    raw = tomllib.loads(grammar_bytes().decode("utf-8"))
    people = []
    for group, (they, them, themselves) in _PRONOUNS.items():
        forms = {"they": they, "them": them, "themselves": themselves, "a": "~a"}
        people += [(name, forms) for name in raw.pop(group)]
    patterns = _phrases(raw.pop("patterns"))
    scenes = raw.pop("scenes")
    general = {name: _phrases(texts) for name, texts in raw.items()}
    merged = tuple(
        {**general, **{slot: _phrases(t) for slot, t in scene.items()}} for scene in scenes.values()
    )
    return _Grammar(patterns, merged, tuple(people))


class _Writer:
    """Writes paragraphs until told to stop."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.grammar = _grammar()
        self.told: set[str] = set()
        self.paragraphs_left = 0
        self.first = True

    def _turn_page(self) -> None:
        """Another scene with other people, for a few paragraphs."""
        draws = self.draws
        self.paragraphs_left = 2 + draws.below(4)
        self.scene = draws.choice(self.grammar.scenes)
        who, forms = draws.choice(self.grammar.people)
        other = who
        while other == who:
            other = draws.choice(self.grammar.people)[0]
        self.fixed = {**forms, "who": who, "other": other}

    def _write(self, phrase: _Phrase, out: list[str], used: set[_Phrase]) -> None:
        parts = phrase.parts
        out.append(parts[0])
        for i in range(1, len(parts), 2):
            slot = parts[i]
            word = self.fixed.get(slot)
            if word is not None:
                out.append(word)
            else:
                options = self.scene[slot]
                chosen = self.draws.choice(options)
                while chosen in used:
                    chosen = self.draws.choice(options)
                used.add(chosen)
                self._write(chosen, out, used)
            out.append(parts[i + 1])

    def _sentence(self) -> str:
        out: list[str] = []
        self._write(self.draws.choice(self.grammar.patterns), out, set())
        text = _AN.sub("an ", "".join(out)).replace("~a ", "a ")
        return text[0].upper() + text[1:]

    def _new_sentence(self) -> str:
        """A sentence not in this text yet; after many tries one that is (a text of hundreds of megabytes)."""
        for _ in range(100):
            text = self._sentence()
            if text not in self.told:
                break
        self.told.add(text)
        return text

    def paragraph(self) -> list[str]:
        """The sentences of the next paragraph."""
        if not self.paragraphs_left:
            self._turn_page()
        self.paragraphs_left -= 1
        return [self._new_sentence() for _ in range(3 + self.draws.below(5))]

    def grow(self, n_chars: int, missing: int) -> tuple[list[str], list[int]]:
        """Pieces of at least `missing` characters that follow `n_chars`; see `HaystackText`."""
        pieces: list[str] = []
        starts: list[int] = []
        position, end = n_chars, n_chars + missing
        while position < end:
            for i, sentence in enumerate(self.paragraph()):
                gap = "" if self.first else " " if i else "\n\n"
                self.first = False
                position += len(gap)
                starts.append(position)
                pieces += (gap, sentence)
                position += len(sentence)
        return pieces, starts


def prose_text(*parts: str | int) -> HaystackText:
    """Prose that is fixed by `parts`, as long as anyone asks."""
    return HaystackText(_Writer(Draws("prose", *parts)).grow, " ")


@dataclass(frozen=True)
class Prose(Haystack):
    """The default haystack."""

    name: str = "prose"
    summary: str = "generated English prose, shipped with the project; no paragraph repeats"

    def open(self, family: NeedleFamily, needles: NeedleSet, *parts: str | int) -> HaystackText:
        """See `Haystack.open`."""
        return prose_text(*parts)

    def filler(self, following: str) -> str:
        """See `Haystack.filler`."""
        return following

    def mentions(self, text: str) -> bool:
        """Never: it has neither digits nor hyphens."""
        return False

    def describe(self) -> dict[str, Any]:
        """See `Haystack.describe`."""
        return {"name": self.name, "version": VERSION, "sha256": hashlib.sha256(grammar_bytes()).hexdigest()}
