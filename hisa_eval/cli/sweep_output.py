"""Carries a sweep out and says what came of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hisa_eval.cli.fidelity_output import show_tables, teller
from hisa_eval.cli.output import print_json, print_note
from hisa_eval.cli.run_output import make_reporter
from hisa_eval.run.sweep import PlannedSweep, execute_sweep, sweep_folder

if TYPE_CHECKING:
    from collections.abc import Sequence


def carry_out_sweep(
    run: PlannedSweep, out: Path | None, *, threads: int | None, quiet: bool, as_json: bool
) -> int:
    """Run what is missing, draw and print.

    Returns:
        How many results failed.

    Raises:
        typer.Exit: the user stopped the sweep (130).
    """
    folder = sweep_folder(run, out)
    silent = quiet or as_json
    for name, reason in () if silent else run.skipped:
        print_note(f"left out: {name} ({reason})")

    def phase(text: str) -> None:
        if not silent:
            print_note(text)

    try:
        reporter = partial(make_reporter, silent=silent)
        failed = execute_sweep(run, folder, reporter, teller(silent=silent), phase, threads=threads)
    except KeyboardInterrupt:
        print_note(f"stopped; {folder} keeps what is finished, the same command resumes")
        raise typer.Exit(130) from None
    show_sweep(folder, as_json=as_json)
    if failed:
        print_note(f"{failed} results failed; the same command tries them again")
    return failed


def redraw_sweeps(folders: Sequence[Path], *, as_json: bool) -> None:
    """Write tables and figures of sweeps again."""
    for folder in folders:
        show_sweep(folder, as_json=as_json)


def show_sweep(folder: Path, *, as_json: bool) -> None:
    """Write the table and figure of a sweep's folder and print the table."""
    from hisa_eval.report.sweep import as_json as rows_of
    from hisa_eval.report.sweep import build_sweep_report

    table, files = build_sweep_report(folder)
    if as_json:
        print_json(
            {
                "command": "sweep",
                "dir": str(folder),
                "files": [str(path) for path in files],
                "variants": rows_of(table.data) if table is not None else [],
            }
        )
        return
    if table is not None:
        show_tables({table.name: table}, [table.name])
    print(f"results: {folder}")
