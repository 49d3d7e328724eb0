"""`hisa-eval report`: tables, figures and the page of finished runs, from their stores alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hisa_eval.cli import options


def report(
    dirs: Annotated[list[Path], typer.Argument(help="Folders of runs.", metavar="DIR...")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Also compare all of them, in this folder.", metavar="DIR", show_default=False
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: options.Json = False,
) -> None:
    """Rebuild tables, figures and report.html of runs; no model is loaded.

    \b
    Examples
      hisa-eval report results/niah-20260101-120000-1a2b3c4d
      hisa-eval report runs/dsa runs/hisa --out runs/comparison
    """
    from hisa_eval.cli.output import print_json, print_note
    from hisa_eval.errors import UserError
    from hisa_eval.report import build_report
    from hisa_eval.report.end_to_end import is_end_to_end
    from hisa_eval.report.fidelity_rows import is_comparison

    sweeps = [(path / "sweep.json").is_file() for path in dirs]
    if any(sweeps):
        from hisa_eval.cli.sweep_output import redraw_sweeps

        if not all(sweeps) or out is not None:
            raise UserError("sweeps are drawn by themselves", "name them alone, without --out")
        redraw_sweeps(dirs, as_json=as_json)
        return
    if any(map(is_end_to_end, dirs)):
        from hisa_eval.cli.end_to_end_output import redraw_end_to_end

        if not all(map(is_end_to_end, dirs)) or out is not None:
            raise UserError(
                "runs of hisa-eval latency --end-to-end are drawn by themselves",
                "name them alone, without --out",
            )
        redraw_end_to_end(dirs, as_json=as_json)
        return
    if any(map(is_comparison, dirs)):
        from hisa_eval.cli.fidelity_output import redraw

        if not all(map(is_comparison, dirs)) or out is not None:
            raise UserError(
                "runs of hisa-eval fidelity are drawn by themselves", "name them alone, without --out"
            )
        redraw(dirs, quiet=quiet, as_json=as_json)
        return
    if sys.stderr.isatty() and not quiet and not as_json:
        print_note("reading the runs and drawing ...")
    built = build_report(dirs, out=out)
    pages = [*(part.html for part in built.parts), built.html]
    if not built.parts:
        pages = [path / built.html.name for path in dirs]
    if as_json:
        print_json(
            {
                "command": "report",
                "reports": [str(page) for page in pages],
                "tables": list(map(str, built.tables)),
            }
        )
    elif not quiet:
        for page in pages:
            print(page)
