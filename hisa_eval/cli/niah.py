"""`hisa-eval niah`: needles in haystacks over a grid of lengths and depths, with several indexers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hisa_eval.cli import options


def niah(
    lengths: options.Lengths = None,
    depths: options.Depths = None,
    samples: options.Samples = None,
    seed: options.Seed = None,
    needle: options.Needle = None,
    distractors: options.Distractors = None,
    haystack: options.Haystack = None,
    max_new_tokens: options.MaxNewTokens = None,
    model: options.ModelName = None,
    indexer: options.Indexers = None,
    topk: options.TopK = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    probe: Annotated[
        bool | None,
        typer.Option(
            "--probe/--no-probe",
            help="Also compare each selection with flat DSA's on the same queries.",
            rich_help_panel=options.MODEL,
            show_default="probe",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder of the run, taken literally.",
            rich_help_panel=options.RUN,
            metavar="DIR",
            show_default="results/niah-<time>-<hash>",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help="Finish a run of the same settings that was stopped.",
            rich_help_panel=options.RUN,
        ),
    ] = True,
    config: options.Config = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="CPU threads.",
            min=1,
            metavar="N",
            rich_help_panel=options.RUN,
            show_default="one per core",
        ),
    ] = None,
    allow_failures: Annotated[
        bool,
        typer.Option(
            "--allow-failures", help="Exit with 0 although samples failed.", rich_help_panel=options.RUN
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show cells, tokens, memory and expected time.", rich_help_panel=options.RUN
        ),
    ] = False,
    with_report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report",
            help="Draw tables, figures and report.html at the end.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = True,
    show_config: Annotated[
        bool,
        typer.Option(
            "--show-config", help="Show each setting and where it came from.", rich_help_panel=options.RUN
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Only results and errors.", rich_help_panel=options.OUTPUT),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Hide needles at many depths of ever longer contexts and ask for them, once per indexer.

    Giving the same command again resumes a run that was stopped; nothing finished is computed twice.

    \b
    Examples
      hisa-eval niah
      hisa-eval niah --lengths 8k..128k --depths 5 --indexer dsa,hisa:ratio=4
      hisa-eval niah --needle multikey --distractors 100 --topk 512
      hisa-eval niah --haystack ~/essays --out runs/essays --json
      hisa-eval niah --config configs/paper.yaml --dry-run
    """
    from hisa_eval.cli.niah_output import (
        make_reporter,
        show_forecast,
        show_results,
        show_settings,
        write_page,
    )
    from hisa_eval.cli.output import print_note
    from hisa_eval.config.layers import layer
    from hisa_eval.config.niah import niah_settings
    from hisa_eval.run.niah import execute, niah_folder, plan_niah

    flags: dict[str, Any] = {
        "lengths": lengths,
        "depths": depths,
        "samples": samples,
        "seed": seed,
        "needle": needle,
        "distractors": distractors,
        "haystack": haystack,
        "max_new_tokens": max_new_tokens,
        "model": model,
        "indexer": indexer,
        "topk": topk,
        "device": device,
        "dtype": dtype,
        "probe": probe,
    }
    merged = layer(flags, config)
    settings = niah_settings(merged.values, merged.sources)
    if show_config:
        show_settings(settings.model_dump(mode="json"), merged.sources, as_json)
        return
    run = plan_niah(settings)
    folder = niah_folder(run, out, resume=resume)
    if dry_run:
        show_forecast(run, folder, as_json)
        return
    reporter = make_reporter(run, silent=quiet or as_json)
    try:
        outcome = execute(run, folder, reporter, threads=threads)
        page = write_page(folder.path, reporter) if with_report else None
    except KeyboardInterrupt:
        kept = folder.path.exists()
        note = f"; {folder.path} keeps what is finished, the same command resumes" if kept else ""
        print_note(f"stopped{note}")
        raise typer.Exit(130) from None
    show_results(run, folder, outcome, page, as_json=as_json, quiet=quiet)
    if outcome.n_failed and not allow_failures:
        raise typer.Exit(1)
