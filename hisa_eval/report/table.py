"""One table, written as markdown, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hisa_eval.report.files import write_file

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
    "−": "$-$",
    "·": r"\textperiodcentered{}",
    "×": r"$\times$",
}


class Cell(NamedTuple):
    """What is shown, and what it sorts by where that is another thing."""

    text: str
    sort: float | int | str | None = None


@dataclass(frozen=True)
class Table:
    """A table for people, and the numbers behind it.

    Attributes:
        name: File name without ending.
        title: One line.
        columns: Headings; the first `n_keys` name the row.
        rows: Cells.
        data: The same in long form with full precision, for the CSV file.
        notes: What a reader must know, one sentence each.
        n_keys: Leading columns set flush left.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    data: pd.DataFrame
    notes: Sequence[str] = ()
    n_keys: int = 1

    def markdown(self) -> str:
        """GitHub-flavoured markdown with title and notes."""
        marks = [":--" if place < self.n_keys else "--:" for place in range(len(self.columns))]
        body = [[_markdown(cell.text) for cell in row] for row in self.rows]
        lines = [_pipe([_markdown(name) for name in self.columns]), _pipe(marks), *map(_pipe, body)]
        notes = "".join(f"\n{note}\n" for note in self.notes)
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n" + notes

    def latex(self) -> str:
        """A `table` environment; needs the booktabs package."""
        places = "l" * self.n_keys + "r" * (len(self.columns) - self.n_keys)
        body = [" & ".join(_latex(cell.text) for cell in row) + r" \\" for row in self.rows]
        caption = " ".join(_latex(text) for text in (f"{self.title}.", *self.notes))
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{caption}}}",
                rf"\label{{tab:{self.name}}}",
                rf"\begin{{tabular}}{{@{{}}{places}@{{}}}}",
                r"\toprule",
                " & ".join(map(_latex, self.columns)) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def write(self, folder: Path) -> list[Path]:
        """Write all three forms into `folder`."""
        return [
            write_file(folder / f"{self.name}.md", self.markdown()),
            write_file(folder / f"{self.name}.csv", self.data.to_csv(index=False, lineterminator="\n")),
            write_file(folder / f"{self.name}.tex", self.latex()),
        ]


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text.replace("\n", " "))
