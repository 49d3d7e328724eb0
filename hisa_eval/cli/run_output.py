"""What a command that runs a suite prints: its settings, its forecast, its results."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hisa_eval.cli.output import print_json, print_note, print_table, stderr
from hisa_eval.config.grammar import format_length
from hisa_eval.config.settings import RunSettings
from hisa_eval.run.device import free_bytes
from hisa_eval.run.execute import Reporter, load_model, time_one_sample
from hisa_eval.run.forecast import Forecast
from hisa_eval.run.grid import cells_of
from hisa_eval.run.plan import PlannedRun
from hisa_eval.run.progress import Bar, Lines, Silent, format_seconds

if TYPE_CHECKING:
    from hisa_eval.run.folder import Folder
    from hisa_eval.run.runner import Outcome

MIB = 1024 * 1024


def show_settings(settings: RunSettings, sources: Mapping[str, str], as_json: bool) -> None:
    """Every setting, and whether a flag, a file or the default decided it."""
    dumped = settings.model_dump(mode="json")
    values = {name: dumped[name] for name in sources}
    if as_json:
        print_json({name: {"value": value, "source": sources[name]} for name, value in values.items()})
        return
    rows = []
    for name, value in values.items():
        if name == "lengths" and value is not None:
            text = ", ".join(format_length(length) for length in value)
        elif name == "depths":
            text = ", ".join(f"{depth:g} %" for depth in value)
        else:
            text = "(left to model or task)" if value is None else str(value)
        rows.append([name, text, sources[name]])
    print_table(["setting", "value", "source"], rows)


def make_reporter(run: PlannedRun, *, silent: bool) -> Reporter:
    """Who tells how the run goes: a bar on a terminal, lines elsewhere, nobody when silent."""
    if silent:
        return Silent()
    forecast = _forecast(run)
    if sys.stderr.isatty():
        return Bar(stderr(), forecast.seconds)
    return Lines(sys.stderr, forecast.seconds)


def _forecast(run: PlannedRun) -> Forecast:
    return Forecast(run.layout, run.answerer.indexers, run.answerer.topk, run.answerer.device)


def show_forecast(run: PlannedRun, folder: Folder, as_json: bool) -> None:
    """Cells, tokens, memory and expected time; nothing is run or written."""
    forecast = _forecast(run)
    model = load_model(run)
    timed = time_one_sample(run, model)
    forecast.measured(*timed)
    by_label = {indexer.label: indexer for indexer in run.answerer.indexers}
    free = free_bytes(run.answerer.device)
    rows: list[dict[str, Any]] = [
        {
            "length": line.length,
            **({"task": line.task} if line.task else {}),
            "indexer": line.indexer,
            "samples": line.n_samples,
            "tokens": round(line.tokens),
            "memory_bytes": model.memory_bytes(line.length, by_label[line.indexer]),
            "seconds": round(line.seconds, 3),
        }
        for line in forecast.lines()
    ]
    total = sum(row["seconds"] for row in rows)
    n_cells = len(cells_of(run.layout))
    if as_json:
        print_json(
            {
                "dir": str(folder.path),
                "resumed": folder.resumed,
                **({"notes": list(run.notes)} if run.notes else {}),
                "device": run.answerer.device,
                "cells": n_cells,
                "samples": len(run.layout),
                "seconds": round(total, 3),
                "free_bytes": free,
                "lines": rows,
            }
        )
        return
    print_table(
        [
            "task" if any("task" in row for row in rows) else "length",
            "indexer",
            "samples",
            "tokens computed",
            "peak memory",
            "time",
        ],
        [
            [
                row.get("task") or format_length(row["length"]),
                row["indexer"],
                str(row["samples"]),
                f"{row['tokens']:,}",
                memory_text(row["memory_bytes"], free),
                format_seconds(row["seconds"]),
            ]
            for row in rows
        ],
        title=f"{n_cells} cells, {len(run.layout)} samples, about {format_seconds(total)}",
        right=["samples", "tokens computed", "peak memory", "time"],
    )
    length, label, seconds = timed
    print(
        f"times follow from one sample of {format_length(length)} with {label}, which took "
        f"{format_seconds(seconds)} here; free memory: {memory_text(free, None)}"
    )
    print(f"would {'resume' if folder.resumed else 'write to'} {folder.path}; nothing was written")


def write_page(path: Path, reporter: Reporter) -> Path:
    """Build the run's report; the path of its page."""
    reporter.phase("drawing the report ...")
    from hisa_eval.report import build_report

    return build_report([path]).html


def show_results(
    run: PlannedRun, folder: Folder, outcome: Outcome, page: Path | None, *, as_json: bool, quiet: bool
) -> None:
    """Accuracy by length and indexer, where everything is, and what to do next."""
    from hisa_eval.report.accuracy import grouped_scores
    from hisa_eval.report.study import load_study
    from hisa_eval.report.suites import headline

    study = load_study([folder.path])
    if as_json:
        by = {"niah": ["length"], "longbench": ["task"]}.get(run.command, ["task", "length"])
        scores = grouped_scores(study, by).drop(columns=["prefill_seconds", "decode_seconds"])
        print_json(
            {
                "command": run.command,
                **({"notes": list(run.notes)} if run.notes else {}),
                "dir": str(folder.path),
                "report": str(page) if page else None,
                "samples": {
                    "total": outcome.n_total,
                    "reused": outcome.n_reused,
                    "failed": outcome.n_failed,
                },
                "seconds": round(outcome.seconds, 3),
                "accuracy": [
                    {name: _json_value(value) for name, value in row.items()}
                    for row in scores.to_dict("records")
                ],
            }
        )
        return
    for place, table in enumerate(headline(study)):
        if place:
            print()
        print_table(
            table.columns,
            [[cell.text for cell in row] for row in table.rows],
            title=f"{table.title}, {run.settings.model} on {run.answerer.device}",
            right=table.columns[table.n_keys :] if place or table.name != "accuracy" else table.columns[1:],
        )
        for note in table.notes:
            print(note)
    if outcome.n_failed:
        print_note(f"{outcome.n_failed} of {outcome.n_total} samples failed: {outcome.reasons[0]}")
    print(f"report: {page}" if page else f"run: {folder.path}")
    if not quiet:
        done = f"{outcome.n_total - outcome.n_reused} samples in {format_seconds(outcome.seconds)}"
        again = "rebuild" if page else "draw"
        print_note(f"{done}; {again} the report: hisa-eval report {shlex.quote(str(folder.path))}")


def memory_text(used: int | None, free: int | None) -> str:
    """Memory in MiB, with a word where it is more than is free."""
    if used is None:
        return "unknown"
    text = f"{used / MIB:,.0f} MiB"
    return f"{text} (more than is free)" if free is not None and used > free else text


def _json_value(value: Any) -> Any:
    """A plain JSON value for a cell of a data frame; a missing one is null."""
    plain = value.item() if hasattr(value, "item") else value
    return None if plain is None or plain != plain or str(plain) == "<NA>" else plain
