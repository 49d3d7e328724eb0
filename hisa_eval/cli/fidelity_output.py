"""Carries a comparison of selections out and says what came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hisa_eval.cli.output import print_json, print_note, print_table
from hisa_eval.report.numbers import length_label
from hisa_eval.run.fidelity import PlannedFidelity, execute_fidelity, fidelity_folder

if TYPE_CHECKING:
    from hisa_eval.report.fidelity_rows import Compared
    from hisa_eval.report.table import Table
    from hisa_eval.run.fidelity import Tell
    from hisa_eval.run.fidelity_place import Place

SHOWN = ("agreement", "needles", "certificates", "noise-floor")


def carry_out_fidelity(
    run: PlannedFidelity,
    out: Path | None,
    *,
    resume: bool,
    threads: int | None,
    with_report: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Compare, draw and print.

    Returns:
        How many results failed.

    Raises:
        typer.Exit: the user stopped the run (130).
    """
    from hisa_eval.report.fidelity_rows import load_compared

    folder = fidelity_folder(run, out, resume=resume)
    silent = quiet or as_json

    try:
        outcome = execute_fidelity(run, folder, teller(silent=silent), threads=threads)
    except KeyboardInterrupt:
        print_note(f"stopped; {folder.path} keeps what is finished, the same command resumes")
        raise typer.Exit(130) from None
    compared = load_compared(folder.path)
    tables, files = ({}, []) if not with_report else _report(compared)
    if as_json:
        print_json(
            {
                "command": "fidelity",
                "dir": str(folder.path),
                "files": [str(path) for path in files],
                "contexts": {
                    "total": len(run.source.places),
                    "results": outcome.n_total,
                    "reused": outcome.n_reused,
                    "failed": outcome.n_failed,
                },
                "seconds": round(outcome.seconds, 3),
                **{name.replace("-", "_"): _records(compared, name, tables) for name in SHOWN},
            }
        )
    else:
        show_tables(tables or _tables(compared), list(SHOWN[:2]) if quiet else list(SHOWN))
        if outcome.n_failed:
            print_note(f"{outcome.n_failed} of {outcome.n_total} results failed: {outcome.reasons[0]}")
        print(f"results: {folder.path}")
    return outcome.n_failed


def teller(*, silent: bool) -> Tell:
    """A line on standard error for every context."""

    def tell(place: Place, done: int, total: int) -> None:
        if not silent:
            depth = "" if place.depth is None else f", depth {place.depth:.0f} %"
            what = f"{place.task.partition('/')[2]} {length_label(place.length)}{depth}"
            print_note(f"{done + 1}/{total}: {what}")

    return tell


def show_tables(tables: dict[str, Table], names: list[str]) -> None:
    """Print some tables with their notes."""
    for name in names:
        if name not in tables:
            continue
        table = tables[name]
        print_table(
            table.columns,
            [[cell.text for cell in row] for row in table.rows],
            title=table.title,
            right=table.columns[table.n_keys :],
        )
        for note in table.notes:
            print(note)
        print()


def redraw(folders: Sequence[Path], *, quiet: bool, as_json: bool) -> None:
    """Write tables and figures of finished comparisons again."""
    from hisa_eval.report.fidelity_rows import load_compared

    files = [path for folder in folders for path in _report(load_compared(folder))[1]]
    if as_json:
        print_json({"command": "report", "files": [str(path) for path in files]})
    elif not quiet:
        for folder in folders:
            print(folder)


def write_dump_of(run: PlannedFidelity, path: str, *, quiet: bool, as_json: bool) -> None:
    """Write the inputs of the longest context, or of all of them into a folder, and say what they are.

    Args:
        run: A checked comparison.
        path: As typed; a folder where there is one, or where it ends in a slash.
        quiet: Tell no progress.
        as_json: Print JSON.
    """
    from hisa_eval.run.fidelity_dump import dump_all, dump_longest

    file = Path(path)
    if path.endswith("/") or file.is_dir():
        found = dump_all(run, file, teller(silent=quiet or as_json))
        if as_json:
            print_json(found)
        else:
            print(f"{file}: {found['written']} of {len(found['files'])} files written, {found['kept']} kept")
        return
    written = dump_longest(run, file)
    if as_json:
        print_json(written)
        return
    print(
        f"{file}: {written['layers']} layers, {written['rows']} rows and {written['keys']} keys "
        f"of {written['source']}"
    )


def _report(compared: Compared) -> tuple[dict[str, Table], list[Path]]:
    from hisa_eval.report.fidelity_build import build_fidelity_report

    return build_fidelity_report(compared)


def _tables(compared: Compared) -> dict[str, Table]:
    from hisa_eval.report.fidelity_tables import agreement_table, certificate_table, needle_table, noise_table

    if not len(compared.rows):
        return {}
    made = [
        agreement_table(compared),
        needle_table(compared),
        certificate_table(compared),
        noise_table(compared),
    ]
    return {table.name: table for table in made if table is not None}


def _records(compared: Compared, name: str, tables: dict[str, Table]) -> list[dict[str, Any]]:
    from hisa_eval.report.fidelity_rows import records

    found = (tables or _tables(compared)).get(name)
    rows = records(found.data) if found is not None else []
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in rows
    ]
