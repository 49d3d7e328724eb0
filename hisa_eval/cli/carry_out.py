"""What every command that takes a suite through a model does once its run is planned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hisa_eval.run.plan import PlannedRun


@dataclass(frozen=True)
class Manner:
    """How a run is carried out and told of; nothing here changes a number.

    Attributes:
        out: Folder named by the user.
        resume: Take up a run that was stopped.
        threads: CPU threads.
        allow_failures: Exit with 0 although samples failed.
        dry_run: Forecast only.
        with_report: Draw tables, figures and the page at the end.
        quiet: Only results and errors.
        as_json: One JSON value on standard output.
    """

    out: Path | None
    resume: bool
    threads: int | None
    allow_failures: bool
    dry_run: bool
    with_report: bool
    quiet: bool
    as_json: bool


def carry_out(run: PlannedRun, manner: Manner) -> None:
    """Run, forecast or resume, and say what came of it.

    Raises:
        typer.Exit: samples failed (1), or the user stopped the run (130).
    """
    from hisa_eval.cli.output import print_note
    from hisa_eval.cli.run_output import make_reporter, show_forecast, show_results, write_page
    from hisa_eval.run.execute import execute
    from hisa_eval.run.plan import run_folder

    folder = run_folder(run, manner.out, resume=manner.resume)
    silent = manner.quiet or manner.as_json
    for note in () if silent else run.notes:
        print_note(note)
    if manner.dry_run:
        show_forecast(run, folder, manner.as_json)
        return
    reporter = make_reporter(run, silent=silent)
    try:
        outcome = execute(run, folder, reporter, threads=manner.threads)
        page = write_page(folder.path, reporter) if manner.with_report else None
    except KeyboardInterrupt:
        kept = folder.path.exists()
        note = f"; {folder.path} keeps what is finished, the same command resumes" if kept else ""
        print_note(f"stopped{note}")
        raise typer.Exit(130) from None
    show_results(run, folder, outcome, page, as_json=manner.as_json, quiet=manner.quiet)
    if outcome.n_failed and not manner.allow_failures:
        raise typer.Exit(1)
