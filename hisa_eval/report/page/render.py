"""Writes a page: one builder for the pages of all suites."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hisa_eval.report.page.explorer import Explorer, script_json
from hisa_eval.report.page.heat import Heatmaps
from hisa_eval.report.page.parts import Folded, Inlined, Page, Ran, Text, Titled
from hisa_eval.report.table import Table

MOST_ROWS = 300
"""Rows of a table that are elements from the start; further ones are made when they are asked for."""

MOST_MORE_ROWS = 5000
"""Rows of a table that are made when asked for; what is beyond is in the table's own file alone."""

_SCRIPTS = ("tables.js", "explorer.js", "heatmaps.js")

_KINDS: dict[type, str] = {
    Text: "text",
    Table: "table",
    Titled: "titled",
    Inlined: "picture",
    Heatmaps: "heatmaps",
    Folded: "folded",
    Explorer: "explorer",
    Ran: "ran",
}


def html_page(page: Page) -> str:
    """The page as one HTML file without any request.

    Its one script is named by its hash in the page's policy, so that no other can run, whatever a prediction
    holds.

    Args:
        page: What it is made of.
    """
    environment = Environment(
        loader=PackageLoader("hisa_eval.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(kind_of=lambda part: _KINDS[type(part)], more_rows=_more_rows)
    templates = resources.files("hisa_eval.report") / "templates"
    style = (templates / "report.css").read_text(encoding="utf-8")
    script = "\n".join((templates / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template("report.html.j2").render(
        page=page,
        sections=[one for one in page.sections if one.parts],
        style=Markup(style),
        script=Markup(script),
        digest=Markup(digest),
        most_rows=MOST_ROWS,
        most_more_rows=MOST_MORE_ROWS,
    )


def _more_rows(table: Table) -> Markup:
    """The rows of a table that are not elements from the start."""
    rows: list[list[Any]] = [
        [cell.text if cell.sort is None else [cell.text, _sortable(cell.sort)] for cell in row]
        for row in table.rows[MOST_ROWS : MOST_ROWS + MOST_MORE_ROWS]
    ]
    return script_json(rows)


def _sortable(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if value != value else value
