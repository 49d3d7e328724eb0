"""`hisa-eval paper`: the HISA paper's figures and tables, beside the paper's own numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hisa_eval.cli import options


def paper(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Finished runs to draw from; without any, the embedded models are asked.",
            metavar="[RUN...]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Folder of figures, tables and report.html, and of the parts.",
            rich_help_panel=options.RUN,
            metavar="DIR",
        ),
    ] = Path("results/paper"),
    full: Annotated[
        bool,
        typer.Option(
            "--full/--quick",
            help="Parts of the paper's own lengths, for a GPU; or of minutes on two CPU cores.",
            rich_help_panel=options.GRID,
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            help="Decides all that is drawn at random.",
            min=0,
            metavar="N",
            rich_help_panel=options.GRID,
        ),
    ] = 0,
    device: Annotated[
        str,
        typer.Option("--device", help="auto, cpu or cuda.", metavar="NAME", rich_help_panel=options.MODEL),
    ] = "auto",
    threads: options.Threads = None,
    allow_failures: options.AllowFailures = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show parts and expected time.", rich_help_panel=options.RUN),
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Draw figures 2 to 5 and table 1 of the HISA paper and the IoU figures of its first version.

    From the runs given, or from runs of the embedded models, each in a folder under --out: giving the same
    command again resumes them. Beside each stands what the paper states, and by fixed rules whether it
    agrees. A run of the embedded models is not the paper's setting, and says so everywhere.

    \b
    Examples
      hisa-eval paper
      hisa-eval paper --dry-run
      hisa-eval paper --full --device cuda --out runs/paper
      hisa-eval paper results/reference/h200-kernels-shapes results/reference/niah-cpu --out runs/paper
    """
    from hisa_eval.cli.paper_output import draw_given, run_and_draw

    if runs:
        draw_given(runs, out, dry_run=dry_run, quiet=quiet, as_json=as_json)
        return
    failed = run_and_draw(
        out,
        full=full,
        seed=seed,
        device=device,
        threads=threads,
        dry_run=dry_run,
        quiet=quiet,
        as_json=as_json,
    )
    if failed and not allow_failures:
        raise typer.Exit(1)
