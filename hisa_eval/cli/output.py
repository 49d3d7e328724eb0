"""Where words go: data to standard output, everything else to standard error; coloured on terminals only."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 240
"""Columns where there is no terminal: wide enough that no table is folded."""


def stdout() -> Console:
    """A console for data."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


def stderr() -> Console:
    """A console for everything that is not data."""
    from rich.console import Console

    return Console(stderr=True, width=None if sys.stderr.isatty() else PIPE_WIDTH, highlight=False)


def print_error(what: str, fix: str) -> None:
    """One line on standard error: what is wrong and how to mend it."""
    line = f"{' '.join(what.split())} – {' '.join(fix.split())}"
    if sys.stderr.isatty():
        from rich.text import Text

        stderr().print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True)
    else:
        print(f"error: {line}", file=sys.stderr)


def print_note(text: str) -> None:
    """One line on standard error that is no error."""
    stderr().print(text, style="dim" if sys.stderr.isatty() else None, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", right: Iterable[str] = ()
) -> None:
    """A table on standard output: ruled on a terminal, Markdown in a pipe.

    Args:
        columns: Headings.
        rows: Cells as text.
        title: Words above it.
        right: Headings of columns set flush right.
    """
    flush_right = set(right)
    if not sys.stdout.isatty():
        _print_markdown(columns, [list(row) for row in rows], title, flush_right)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in flush_right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    stdout().print(table)


def _print_markdown(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str, right: Collection[str]
) -> None:
    """The same table as GitHub-flavoured Markdown, its columns aligned."""
    table = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    widths = [max(3, *(len(row[place]) for row in table)) for place in range(len(columns))]
    flush = [str.rjust if column in right else str.ljust for column in columns]
    lines = [
        "| "
        + " | ".join(fit(cell, width) for fit, cell, width in zip(flush, row, widths, strict=True))
        + " |"
        for row in table
    ]
    marks = [
        "-" * (width - 1) + ":" if column in right else "-" * width
        for column, width in zip(columns, widths, strict=True)
    ]
    lines.insert(1, "| " + " | ".join(marks) + " |")
    if title:
        print(f"{title}\n")
    print("\n".join(lines))
