"""What `hisa-eval sweep --dry-run` prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hisa_eval.cli.output import print_json, print_note, print_table
from hisa_eval.cli.run_output import memory_text
from hisa_eval.config.grammar import format_length
from hisa_eval.run.device import free_bytes, set_threads
from hisa_eval.run.progress import format_seconds
from hisa_eval.run.sweep import FILE, sweep_folder
from hisa_eval.run.sweep_forecast import COMPARED, forecast_sweep

if TYPE_CHECKING:
    from hisa_eval.run.sweep import PlannedSweep

_NOBODY = "(all)"


def show_sweep_forecast(
    run: PlannedSweep, out: Path | None, *, threads: int | None, quiet: bool, as_json: bool
) -> None:
    """Cells, tokens, memory and expected time of every part; nothing is run or written.

    Raises:
        UserError: the folder holds something else, or the model cannot be loaded.
    """
    folder = sweep_folder(run, out)
    resumed = (folder / FILE).is_file()
    for name, reason in () if quiet or as_json else run.skipped:
        print_note(f"left out: {name} ({reason})")
    set_threads(threads)
    forecast = forecast_sweep(run)
    device = run.parts[0].fidelity.answerer.device
    free = free_bytes(device)
    total = sum(line.seconds for line in forecast.lines)
    results = sum(line.results for line in forecast.lines)
    if as_json:
        print_json(
            {
                "dir": str(folder),
                "resumed": resumed,
                "device": device,
                "variants": {str(part.topk): part.labels for part in run.parts},
                "left_out": [{"variant": name, "reason": reason} for name, reason in run.skipped],
                "cells": forecast.cells,
                "results": results,
                "seconds": round(total, 3),
                "free_bytes": free,
                "lines": [{**vars(line), "seconds": round(line.seconds, 3)} for line in forecast.lines],
            }
        )
        return
    numbers = ["samples", "tokens computed", "peak memory", "time"]
    print_table(
        ["k", "part", "length", "indexer", *numbers],
        [
            [
                f"{line.topk:,}",
                line.part,
                format_length(line.length),
                line.indexer or _NOBODY,
                f"{line.samples:,}",
                f"{round(line.tokens):,}",
                memory_text(line.memory_bytes, free) if line.part != COMPARED else "–",
                format_seconds(line.seconds),
            ]
            for line in forecast.lines
        ],
        title=f"{forecast.cells} cells, {results} results, about {format_seconds(total)}",
        right=["k", *numbers],
    )
    timed = forecast.context
    print(
        f"comparisons follow from one context of {format_length(timed.length)}, whose prefill took "
        f"{format_seconds(timed.prefill)} and all indexers on it {format_seconds(timed.comparing)} here"
    )
    if forecast.sample is not None:
        length, label, spent = forecast.sample
        print(
            f"needles follow from one sample of {format_length(length)} with {label}, which took "
            f"{format_seconds(spent)} here; free memory: {memory_text(free, None)}"
        )
    print(f"would {'resume' if resumed else 'write to'} {folder}; nothing was written")
