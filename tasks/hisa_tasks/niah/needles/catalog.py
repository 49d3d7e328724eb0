"""Needle families by name, and those of YAML files."""

from __future__ import annotations

import difflib

from hisa_tasks.niah.needles.base import NeedleFamily
from hisa_tasks.niah.needles.ruler import FAMILIES as RULER_FAMILIES
from hisa_tasks.niah.needles.san_francisco import SAN_FRANCISCO

FAMILIES: dict[str, NeedleFamily] = {family.name: family for family in (*RULER_FAMILIES, SAN_FRANCISCO)}


def find_needle(name: str) -> NeedleFamily:
    """A needle family.

    Args:
        name: Of a shipped family, or the path of a `.yaml` or `.yml` file.

    Returns:
        The family.

    Raises:
        ValueError: No such family or file, or the file does not define one.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    if name.endswith((".yaml", ".yml")):
        from hisa_tasks.niah.needles.custom import load_needle

        return load_needle(name, frozenset(FAMILIES))
    close = difflib.get_close_matches(name, FAMILIES, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(
        f"unknown needle {name!r} – {hint}known: {', '.join(FAMILIES)}, or a .yaml file of your own"
    )
