"""Canonical JSON: what is hashed into sample keys and compared between runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

_ABSENT = "(not set)"


class Difference(NamedTuple):
    """The first place where two settings differ."""

    name: str
    old: str
    new: str

    def mend(self, what: str) -> str:
        """What a user can do about it.

        Args:
            what: `run` or the like, that the folder holds.
        """
        if self.name.endswith("version"):
            return "choose another --out: results of two versions do not mix; nothing was written"
        return f"choose another --out, or set {self.name} back to resume that {what}; nothing was written"


def canonical_json(value: Any) -> str:
    """`value` as JSON that is the same for equal values: keys sorted, no spaces, no NaN.

    Raises:
        ValueError: a float is NaN or infinite.
        TypeError: a value has no JSON form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sample_key(parts: Mapping[str, Any]) -> str:
    """The identity of one result.

    Args:
        parts: Everything that changes the number (model and revision, indexer settings, prompt hash,
            generation settings, task version, …), JSON types only.

    Returns:
        SHA-256 of the canonical JSON, in hex.
    """
    return value_hash(parts)


def value_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8, lone surrogates included, in hex."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def first_difference(old: Any, new: Any, name: str = "") -> Difference | None:
    """The first setting, in alphabetical order, that differs; None if all agree.

    Lists of as many groups of settings are looked into, others are one setting.

    Args:
        old: JSON value on record.
        new: JSON value asked for now.
        name: Dotted name of the value itself; empty at the top.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            inner = f"{name}.{key}" if name else str(key)
            if key not in old:
                return Difference(inner, _ABSENT, canonical_json(new[key]))
            if key not in new:
                return Difference(inner, canonical_json(old[key]), _ABSENT)
            found = first_difference(old[key], new[key], inner)
            if found:
                return found
        return None
    if _groups(old) and _groups(new) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        differences = (
            first_difference(*pair, f"{name}.{place}" if name else str(place)) for place, pair in pairs
        )
        return next(filter(None, differences), None)
    was, now = canonical_json(old), canonical_json(new)
    return Difference(name, was, now) if was != now else None


def _groups(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)
