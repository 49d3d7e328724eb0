"""What `hisa-eval latency` measures, selections or whole answers, and which option belongs to which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from hisa_eval.errors import UserError

_WHOLE_ONLY = (
    "indexer",
    "repetitions",
    "max_new_tokens",
    "stock",
    "spread",
    "seed",
    "resume",
    "config",
    "threads",
    "show_config",
)
_SELECTION_ONLY = (
    "queries",
    "num_blocks",
    "ratio",
    "heads",
    "dim",
    "block_size",
    "inputs",
    "dump_inputs",
    "layer",
)


def given(context: typer.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that were typed; None for the others, so that a file or a default can speak.

    Args:
        context: Of the command.
        values: Parameter name -> value.
    """
    return {name: value if _typed(context, name) else None for name, value in values.items()}


def refuse_strangers(context: typer.Context, *, end_to_end: bool) -> None:
    """Refuse an option that means nothing in the chosen mode.

    Raises:
        UserError: one was typed.
    """
    from hisa_eval.config.settings import flag_of

    for name in _SELECTION_ONLY if end_to_end else _WHOLE_ONLY:
        if not _typed(context, name):
            continue
        if end_to_end:
            fix = "leave it out; an indexer's options go with its name: --indexer hisa:num_blocks=128"
            raise UserError(f"{flag_of(name)} is of a selection, not of --end-to-end", fix)
        raise UserError(f"{flag_of(name)} is for whole answers", "add --end-to-end, or leave it out")


def redraws_end_to_end(folder: Path, *, as_json: bool) -> bool:
    """Draw a folder again if it holds whole answers; whether it does."""
    from hisa_eval.report.end_to_end import is_end_to_end

    if not is_end_to_end(folder):
        return False
    from hisa_eval.cli.end_to_end_output import redraw_end_to_end

    redraw_end_to_end([folder], as_json=as_json)
    return True


def measure_end_to_end(
    flags: Mapping[str, Any],
    out: Path | None,
    *,
    config: Path | None,
    resume: bool,
    threads: int | None,
    show_config: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Settle, measure and show.

    Raises:
        UserError: a setting is wrong, or the folder holds something else.
        typer.Exit: something failed or was refused its times (1), or the user stopped it (130).
    """
    from hisa_eval.cli.end_to_end_output import carry_out_end_to_end
    from hisa_eval.cli.run_output import show_settings
    from hisa_eval.config.defaults import END_TO_END
    from hisa_eval.config.end_to_end import end_to_end_settings
    from hisa_eval.config.layers import layer
    from hisa_eval.latency.end_to_end import plan_end_to_end

    merged = layer(flags, config, END_TO_END)
    settings = end_to_end_settings(merged.values, merged.sources)
    if show_config:
        show_settings(settings, merged.sources, as_json)
        return
    run = plan_end_to_end(settings)
    failed = carry_out_end_to_end(run, out, resume=resume, threads=threads, quiet=quiet, as_json=as_json)
    if failed:
        raise typer.Exit(1)


def _typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
