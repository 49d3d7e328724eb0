"""The suite's rows in LongBench's schema, made from a fixed seed: the same bytes everywhere."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from hisa_tasks.longbench.catalog import MINI
from hisa_tasks.mini.question import Context

VERSION = 1
"""Raised with every change that gives other rows."""
SIZES = {2048: 2, 4096: 1, 8192: 2, 16384: 2}
"""Contexts of each data set by size: bytes of a prompt and the room for its answer together, at most."""
QUESTIONS = 3
"""Questions on each context."""
_TAIL = 256
"""Bytes left for a template and a question."""


class Made(NamedTuple):
    """A context of a data set: its size, its number among those of that size, and itself."""

    size: int
    number: int
    context: Context


def contexts(name: str) -> Iterator[Made]:
    """Every context of a data set, from the shortest to the longest.

    Args:
        name: Key of `MINI`.
    """
    kind = importlib.import_module(f"hisa_tasks.mini.kinds.{name}")
    for size, count in SIZES.items():
        for number in range(count):
            room = size - MINI[name].max_new_tokens - _TAIL
            yield Made(size, number, kind.build(room, QUESTIONS, "mini", VERSION, size, number))


@cache
def dataset_bytes(name: str) -> bytes:
    """A data set as a file of JSON lines.

    Args:
        name: Key of `MINI`.
    """
    lines = [
        {
            "input": question.input,
            "context": context.text,
            "answers": list(question.answers),
            "length": len(context.text.split()),
            "dataset": name,
            "language": MINI[name].language,
            "all_classes": list(context.classes) if context.classes else None,
            "_id": f"{name}-{size}-{number}-{place}",
        }
        for size, number, context in contexts(name)
        for place, question in enumerate(context.questions)
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
