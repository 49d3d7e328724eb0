"""What is made of one figure or table of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hisa_eval.paper.verdict import Claim
from hisa_eval.report.page import Picture
from hisa_eval.report.table import Table


@dataclass(frozen=True)
class Item:
    """One figure or table of the paper, made again.

    Attributes:
        name: As the paper numbers it, e.g. `F2`.
        title: What it shows.
        pictures: By file name.
        tables: To be written and shown.
        claims: What the paper says of it, and what was found.
        missing: Why there is nothing to show.
    """

    name: str
    title: str
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    claims: Sequence[Claim] = ()
    missing: str = ""
