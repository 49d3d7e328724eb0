"""What a page is made of. Texts are plain: whatever a model or a task said is escaped when it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from hisa_eval.report.figures.theme import Draw, Rendered, inline_svg
from hisa_eval.report.page.explorer import Explorer
from hisa_eval.report.page.heat import Heatmaps
from hisa_eval.report.table import Table


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        draw: Draws it.
        alt: What it shows, in words.
    """

    draw: Draw
    alt: str


@dataclass(frozen=True)
class Inlined:
    """A figure ready for the page."""

    svg: Markup
    alt: str


def inline(rendered: Rendered, name: str, alt: str) -> Inlined:
    """A drawn figure as a part of the page.

    Args:
        rendered: The figure.
        name: Unique on the page.
        alt: What it shows, in words.
    """
    return Inlined(Markup(inline_svg(rendered.svg, name, str(escape(alt)))), alt)


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Titled:
    """A table with its title above, where the section's own heading does not name it."""

    table: Table


@dataclass(frozen=True)
class Folded:
    """Parts that are shown when asked for."""

    summary: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Ran:
    """What ran: its name (empty where only one did), the command, and facts by name."""

    name: str
    command: str
    facts: Sequence[tuple[str, str]]


Part = Text | Table | Titled | Inlined | Heatmaps | Folded | Explorer | Ran


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading and a place in its contents.

    Attributes:
        id: Unique on the page.
        title: Heading.
        parts: From top to bottom.
    """

    id: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: Heading.
        summary: One or two sentences below it.
        remarks: What a reader must know of the models.
        sections: From top to bottom; those without parts are left out.
    """

    title: str
    summary: str
    sections: Sequence[Section]
    remarks: Sequence[str] = ()


def tables_of(tables: Mapping[str, Table], *names: str) -> list[Part]:
    """Those of the named tables that there are, with their titles."""
    return [Titled(tables[name]) for name in names if name in tables]


def pictures_of(pictures: Mapping[str, Inlined], *names: str) -> list[Part]:
    """Those of the named figures that there are."""
    return [pictures[name] for name in names if name in pictures]
