"""Needles that a YAML file defines; `configs/needles/example.yaml` shows every field."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import yaml

from hisa_tasks.niah.needles.free import FreeNeedles, Source
from hisa_tasks.niah.needles.words import KINDS

REQUIRED = ("name", "sentence", "question", "values")
OPTIONAL = ("summary", "answer_prefix", "intro", "keys", "metric", "facts", "distractors")
METRICS = ("string-match-all", "key-facts")


def load_needle(path: str | Path, reserved: frozenset[str] = frozenset()) -> FreeNeedles:
    """Reads a needle from a YAML file.

    Args:
        path: Of the file.
        reserved: Names that it may not take.

    Returns:
        The needle family.

    Raises:
        ValueError: The file is missing, is no UTF-8 YAML mapping, or a field is missing, unknown or wrong.
    """
    return _family(str(path), _mapping(Path(path)), reserved)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"needle file {path} cannot be read: {error.strerror} – check the path") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"needle file {path} is not UTF-8: byte {error.start} cannot be decoded – save it as UTF-8"
        ) from None
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable character"
        raise ValueError(
            f"needle file {path} is not YAML{where}: {problem} – compare it with configs/needles/example.yaml"
        ) from None
    if not isinstance(data, dict):
        raise ValueError(f"needle file {path} holds no fields – give it at least {', '.join(REQUIRED)}")
    return data


def _family(path: str, data: dict[str, Any], reserved: frozenset[str]) -> FreeNeedles:
    def wrong(what: str, fix: str) -> ValueError:
        return ValueError(f"needle file {path}: {what} – {fix}")

    known = (*REQUIRED, *OPTIONAL)
    for name in data:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise wrong(f"unknown field {name!r}", f"{hint}known: {', '.join(known)}")
    for name in REQUIRED:
        if name not in data:
            raise wrong(f"field {name!r} is missing", f"give it at least {', '.join(REQUIRED)}")

    def text(name: str) -> str:
        value = data.get(name, "")
        if not isinstance(value, str) or (name in REQUIRED and not value.strip()):
            raise wrong(
                f"field {name!r} is {value!r}", "write a text, in quotes where it has a colon or digits alone"
            )
        return value

    def texts(name: str) -> tuple[str, ...]:
        value = data.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise wrong(f"field {name!r} is {value!r}", "write a list of texts, numbers in quotes")
        return tuple(item.strip() for item in value)

    def source(name: str) -> Source:
        value = data.get(name, [])
        if isinstance(value, str) and value not in KINDS:
            raise wrong(f"field {name!r} is {value!r}", f"use one of {', '.join(KINDS)}, or a list of texts")
        return value if isinstance(value, str) else texts(name)

    name, sentence, question, prefix = (text(n) for n in ("name", "sentence", "question", "answer_prefix"))
    keys, values, facts = source("keys"), source("values"), texts("facts")
    metric, distractors = data.get("metric", METRICS[0]), data.get("distractors", 0)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) or name in reserved:
        raise wrong(
            f"name {name!r} cannot be used",
            "use lower-case letters, digits and hyphens, and no shipped needle's name",
        )
    if sentence.count("{value}") != 1:
        raise wrong(
            "the sentence does not have {value} exactly once", "write {value} where the answer stands"
        )
    if "{value}" in question + prefix:
        raise wrong("the question or the answer prefix has {value}", "take it out, it gives the answer away")
    if bool(keys) != ("{key}" in sentence) or bool(keys) != ("{key}" in question):
        raise wrong(
            "{key} and the field 'keys' do not go together",
            "use both {key} in sentence and question and 'keys', or neither",
        )
    if "{key}" in prefix and not keys:
        raise wrong("the answer prefix has {key}, but there are no keys", "take it out")
    if not values:
        raise wrong("field 'values' is empty", f"use one of {', '.join(KINDS)}, or a list of texts")
    if metric not in METRICS:
        raise wrong(f"unknown metric {metric!r}", f"use one of {', '.join(METRICS)}")
    if facts and metric != "key-facts":
        raise wrong(
            "'facts' are only scored by the metric key-facts", "add 'metric: key-facts', or leave them out"
        )
    if not isinstance(distractors, int) or isinstance(distractors, bool) or distractors < 0:
        raise wrong(f"field 'distractors' is {distractors!r}", "write a whole number from 0")
    return FreeNeedles(
        name=name,
        summary=text("summary") or f"from {Path(path).name}",
        sentence=sentence.strip(),
        question=question.strip(),
        answer_prefix=f" {prefix.strip()}" if prefix.strip() else "",
        intro=text("intro").strip(),
        keys=keys,
        values=values,
        metric=metric,
        facts=facts,
        default_distractors=distractors,
    )
