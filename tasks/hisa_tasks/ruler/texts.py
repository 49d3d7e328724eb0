"""RULER's templates and words, as shipped."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Template:
    """A task's prompt around its context.

    Attributes:
        before: What comes before the context.
        after: What comes after it: the question and the answer prefix.
        tokens_to_generate: RULER's answer room.
    """

    before: str
    after: str
    tokens_to_generate: int

    def tail(self, **values: str) -> str:
        """Question and answer prefix with their slots filled."""
        return self.after.format(**values)


def data_bytes(name: str) -> bytes:
    """A shipped data file, with line ends as `\\n`."""
    data = resources.files("hisa_tasks.ruler").joinpath("data", name).read_bytes()
    return data.replace(b"\r\n", b"\n")


def data_sha256(name: str) -> str:
    """SHA-256 of a shipped data file, line ends as `\\n`."""
    return hashlib.sha256(data_bytes(name)).hexdigest()


@cache
def template(name: str) -> Template:
    """The template of a kind of task.

    Args:
        name: `"niah"`, `"variable_tracking"`, `"common_words"`, `"frequent_words"` or `"questions"`.

    Source: NVIDIA/RULER, scripts/data/synthetic/constants.py.
    """
    facts = tomllib.loads(data_bytes("templates.toml").decode("utf-8"))[name]
    before, after = (facts["template"] + facts["answer_prefix"]).split("{context}")
    return Template(before, after, facts["tokens_to_generate"])


@cache
def english_words() -> tuple[str, ...]:
    """The shipped nouns, adjectives and verbs of wonderwords 3.0.1: distinct, sorted by code point."""
    return tuple(data_bytes("words.txt").decode("utf-8").splitlines())
