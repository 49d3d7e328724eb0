"""Official prompts, and the cut in the middle that fits them to a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from hisa_tasks.longbench.catalog import MINI, any_dataset
from hisa_tasks.sample import Tokenizer


class Cut(NamedTuple):
    """A text with its middle taken out.

    `n_before` and `n_after` are its tokens before and after; the new text is tokenised again, so `n_after`
    can differ from the limit by a few tokens.
    """

    text: str
    n_before: int
    n_after: int


@cache
def templates(file: str = "prompts.json") -> Mapping[str, str]:
    """The benchmark's prompt templates by data set, byte for byte."""
    text = (files("hisa_tasks.longbench") / "data" / file).read_bytes().decode("utf-8")
    loaded: dict[str, str] = json.loads(text)
    return loaded


def template(name: str) -> str:
    """The prompt template of a data set, with or without LongBench-E's "_e".

    Raises:
        ValueError: The data set is unknown.
    """
    known = any_dataset(name).name
    if known in MINI:
        from hisa_tasks.mini.templates import TEMPLATES

        return TEMPLATES[known]
    return templates()[known]


def template_hash(text: str) -> str:
    """SHA-256 of a template in UTF-8, in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def build_prompt(name: str, question: str, context: str) -> str:
    """The official prompt of a row.

    Args:
        name: Of the data set, with or without LongBench-E's "_e".
        question: The row's `input`.
        context: The row's `context`.

    Returns:
        The text before any chat template.

    Raises:
        ValueError: The data set is unknown.
    """
    return template(name).format(input=question, context=context)


def cut_middle(text: str, limit: int, tokenizer: Tokenizer) -> Cut:
    """Keep the beginning and the end of a text, as LongBench does for prompts that are too long.

    Half of the limit (rounded down) is taken from either end, the halves are decoded apart and joined. An odd
    limit so loses one token. LongBench counts the tokens that the tokenizer adds to a text (a start token) as
    part of the first half; here the limit is for the text alone.

    Args:
        text: A prompt, before any chat template.
        limit: Most tokens it may have, at least 2.
        tokenizer: Of the model.

    Returns:
        The text, whole if it fits.

    Raises:
        ValueError: The limit is below 2.

    Source: THUDM/LongBench, pred.py.
    """
    if limit < 2:
        raise ValueError(f"the prompt limit is {limit} tokens – leave room for 2 or more")
    ids = tokenizer.encode(text)
    if len(ids) <= limit:
        return Cut(text, len(ids), len(ids))
    half = limit // 2
    kept = tokenizer.decode(ids[:half]) + tokenizer.decode(ids[-half:])
    return Cut(kept, len(ids), len(tokenizer.encode(kept)))
