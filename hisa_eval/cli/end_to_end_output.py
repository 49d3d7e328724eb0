"""Carries an end-to-end measurement out and says what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hisa_eval.cli.output import print_json, print_note, print_table
from hisa_eval.report.numbers import length_label

if TYPE_CHECKING:
    from hisa_eval.latency.end_to_end import PlannedEndToEnd
    from hisa_eval.latency.end_to_end_run import Tell


def carry_out_end_to_end(
    run: PlannedEndToEnd, out: Path | None, *, resume: bool, threads: int | None, quiet: bool, as_json: bool
) -> int:
    """Measure what is missing, draw and print.

    Returns:
        How many contestants failed or were refused their times, over all lengths.

    Raises:
        typer.Exit: the user stopped the run (130).
    """
    from hisa_eval.latency.end_to_end import end_to_end_folder
    from hisa_eval.latency.end_to_end_run import execute_end_to_end

    folder = end_to_end_folder(run, out, resume=resume)
    try:
        execute_end_to_end(run, folder, _teller(silent=quiet or as_json), threads=threads)
    except KeyboardInterrupt:
        print_note(f"stopped; {folder.path} keeps what is finished, the same command resumes")
        raise typer.Exit(130) from None
    return show_end_to_end(folder.path, as_json=as_json)


def _teller(*, silent: bool) -> Tell:
    """A line on standard error for every answer."""

    def tell(who: str, length: int, repetition: int, done: int, total: int) -> None:
        if not silent:
            what = "warming up" if repetition < 0 else f"repetition {repetition + 1}"
            print_note(f"{done}/{total}: {who} at {length_label(length)}, {what}")

    return tell


def show_end_to_end(folder: Path, *, as_json: bool) -> int:
    """Write tables and figure of a folder and print the tables; how many results went wrong."""
    from hisa_eval.report.end_to_end import load_end_to_end
    from hisa_eval.report.end_to_end_build import build_end_to_end_report
    from hisa_eval.report.fidelity_rows import records

    measured = load_end_to_end(folder)
    tables, written = build_end_to_end_report(measured)
    if as_json:
        print_json(
            {
                "command": "latency",
                "dir": str(folder),
                "files": [str(path) for path in written],
                "device": measured.manifest.get("device"),
                **{
                    table.name.replace("-", "_"): [
                        {name: None if value != value else value for name, value in row.items()}
                        for row in records(table.data)
                    ]
                    for table in tables
                },
            }
        )
        return len(measured.wrong)
    for table in tables:
        print_table(
            table.columns,
            [[cell.text for cell in row] for row in table.rows],
            title=table.title,
            right=table.columns[table.n_keys :],
        )
        for note in table.notes:
            print(note)
        print()
    print(f"results: {folder}")
    return len(measured.wrong)


def redraw_end_to_end(folders: Sequence[Path], *, as_json: bool) -> None:
    """Write tables and figures of finished measurements again."""
    for folder in folders:
        show_end_to_end(folder, as_json=as_json)
