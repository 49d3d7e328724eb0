"""Everything that is stored of single samples, as compact JSON that the page shows on demand."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd
from markupsafe import Markup

from hisa_eval.report.numbers import depth_label, length_label, seconds, share

MOST_BYTES = 6_000_000
"""Of the samples' JSON; a page holds the failed and the lowest scores first until it is full."""

MOST_LETTERS = 4000
"""Of one text; a longer one is cut, and says so."""

STATIC_ROWS = 60
"""Samples that are there without JavaScript."""

Form = Literal["name", "text", "length", "depth", "places", "share", "seconds", "count"]


@dataclass(frozen=True)
class Field:
    """One fact of a sample.

    Attributes:
        name: Key of the row.
        title: As shown.
        form: How it is written.
        column: Whether it is a column of the list, beside being in the sample's details.
        filter: Whether the list can be cut down to one of its values.
    """

    name: str
    title: str
    form: Form
    column: bool = False
    filter: bool = False


@dataclass(frozen=True)
class Explorer:
    """A list of samples that can be filtered, sorted and opened one by one.

    Attributes:
        noun: What one is, e.g. `sample`.
        fields: Facts, in reading order; the first names the sample.
        rows: Values by field name; `layers` may hold one list of values per layer: its
            number, then as in `Explorer.layers`.
        layers: Titles of what is known of each layer beside its number, all shares of 1.
        picked: Title of the list of layers in which the first of these is above 0; empty for no such list.
        score: Field that decides which samples come first where there is no room for all.
        where: File that has all of them.
    """

    noun: str
    fields: Sequence[Field]
    rows: Sequence[Mapping[Any, Any]]
    layers: Sequence[str] = ()
    picked: str = ""
    score: str = "score"
    where: str = "samples.jsonl"

    @cached_property
    def order(self) -> list[int]:
        """Places of the rows, those without a score first, then the lowest."""
        known = [plain(row.get(self.score)) for row in self.rows]
        places = range(len(self.rows))
        return sorted(places, key=lambda place: (-1.0 if known[place] is None else known[place], place))

    @property
    def static_fields(self) -> list[Field]:
        """What is told of a sample without JavaScript: the list's columns and all texts."""
        return [one for one in self.fields if one.column or one.form == "text"]

    def static_rows(self) -> list[list[str]]:
        """The first samples in words, for readers without JavaScript."""
        chosen = [self.rows[place] for place in self.order[:STATIC_ROWS]]
        return [[written(one.form, row.get(one.name)) for one in self.static_fields] for row in chosen]

    def packed(self) -> tuple[Markup, int]:
        """The JSON, fit to stand inside a script element, and how many samples are in it.

        Texts that repeat (the same prompt for every indexer) are stored once.
        """
        texts: dict[str, int] = {}
        rows: dict[int, list[Any]] = {}
        used = 0
        for place in self.order:
            before = len(texts)
            row = [_packed(one.form, self.rows[place].get(one.name), texts) for one in self.fields]
            layers = [[_layer_share(one) for one in layer] for layer in self.rows[place].get("layers") or ()]
            packed = [*row, layers]
            new = list(itertools.islice(texts, before, None))
            used += len(_json([packed, new]).encode("utf-8", "replace"))
            if used > MOST_BYTES:
                for one in new:
                    del texts[one]
                break
            rows[place] = packed
        data = {
            "noun": self.noun,
            "fields": [
                [one.name, one.title, one.form, int(one.column), int(one.filter)] for one in self.fields
            ],
            "layers": list(self.layers),
            "picked": self.picked,
            "texts": list(texts),
            "rows": [rows[place] for place in sorted(rows)],
        }
        return script_json(data), len(rows)


def script_json(data: Any) -> Markup:
    """JSON that cannot end the script element it stands in, nor start a comment there."""
    text = _json(data)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def written(form: Form, value: Any) -> str:
    """A value in words."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if form == "length":
        return length_label(int(value))
    if form == "depth":
        return f"{depth_label(value)} %"
    if form == "places":
        return ", ".join(written("depth", one) for one in value)
    if form == "share":
        return share(value)
    if form == "seconds":
        return f"{seconds(value)} s"
    return f"{value:,}" if form == "count" else _cut(str(value))


def plain(value: Any) -> Any:
    """A value of a data frame as JSON has it; a missing one is None."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def _packed(form: Form, value: Any, texts: dict[str, int]) -> Any:
    value = plain(value)
    if value is None or form in ("length", "depth", "count"):
        return _whole(value)
    if form == "places":
        return [_whole(one) for one in value]
    if form in ("share", "seconds"):
        return _rounded(value)
    return texts.setdefault(_cut(str(value)), len(texts))


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _rounded(value: Any) -> Any:
    value = plain(value)
    if value is None:
        return None
    short = float(f"{value:.6g}")
    return 0.999999 if short == 1 and value < 1 else _whole(short)


def _layer_share(value: Any) -> Any:
    """A layer's number or share; no share is rounded to 0 or 1 unless it is exactly that."""
    if not isinstance(value, float) or value.is_integer():
        return None if value is None else int(value)
    return min(max(round(value, 4), 0.0001), 0.9999)


def _cut(text: str) -> str:
    left = len(text) - MOST_LETTERS
    return f"{text[:MOST_LETTERS]} … ({left:,} more characters are in the run's folder)" if left > 0 else text
