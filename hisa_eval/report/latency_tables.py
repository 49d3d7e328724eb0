"""Tables of a latency measurement: whole pipelines, their stages, and what the gate found."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hisa_eval.report.latency_study import Batch, speedup
from hisa_eval.report.numbers import NOTHING, length_label, share
from hisa_eval.report.table import Cell, Table

ON_CPU = (
    "Timed on a CPU: these are the reference operators at small sizes. They show that the measurement works "
    "and say nothing about the kernels or the paper's figures."
)

_SHARES = ("overlap", "outside_ties", "blocks_outside_ties", "overlap_with_f32_pipeline")


def totals_table(batch: Batch, *, on_cpu: bool) -> Table:
    """Milliseconds of whole pipelines by context, and how many times faster than the best flat one."""
    data, rows = [], []
    for family, modes in (("flat", ["flat"]), ("hisa", batch.modes), ("attention", ["flat"])):
        for mode in modes:
            for method in batch.methods(family):
                found = [batch.find(method, mode, context) for context in batch.contexts]
                if all(one is None or one["status"] == "unavailable" for one in found):
                    continue
                cells = []
                for context, record in zip(batch.contexts, found, strict=True):
                    cells.append(_total_cell(batch, context, record))
                    if record is not None:
                        data.append(_total_data(batch, context, record))
                rows.append([Cell(method), Cell(NOTHING if family == "attention" else mode), *cells])
    notes = [
        "Median milliseconds of one pass, top-k included, 10th to 90th percentile in brackets; behind it how "
        "many times faster than the fastest flat method of the same context.",
    ]
    if not batch.methods("flat"):
        notes = ["Median milliseconds of one pass, 10th to 90th percentile in brackets."]
    return Table(
        f"latency-{batch.name}",
        f"Latency, {batch.title}",
        ["method", "blocks", *map(length_label, batch.contexts)],
        rows,
        pd.DataFrame(data),
        [*notes, *([ON_CPU] if on_cpu else [])],
        n_keys=2,
    )


def _total_cell(batch: Batch, context: int, record: dict[str, Any] | None) -> Cell:
    if record is None or record["status"] == "unavailable":
        return Cell(NOTHING)
    if record["status"] != "ok":
        return Cell(record["status"].upper())
    total = record["total"]
    text = f"{milliseconds(total['ms'])} [{milliseconds(total['p10'])}, {milliseconds(total['p90'])}]"
    ratio = speedup(batch, record)
    if ratio is not None:
        text += f" {ratio:.2f}×"
    return Cell(text, total["ms"])


def _total_data(batch: Batch, context: int, record: dict[str, Any]) -> dict[str, Any]:
    total = record.get("total", {})
    return {
        "method": record["method"],
        "family": record["family"],
        "blocks": record["case"]["mode"],
        "context": context,
        "status": record["status"],
        "reason": record.get("reason", ""),
        **{name: total.get(name) for name in ("ms", "p10", "p90", "passes", "floor_ms")},
        "speedup_over_best_flat": speedup(batch, record),
        "peak_bytes": record.get("peak_bytes"),
    }


def stages_table(batch: Batch) -> Table:
    """Every stage with its floor, the share of the floor that was reached, and its matrix rate."""
    rows, data = [], []
    for record in batch.records:
        if record["status"] != "ok":
            continue
        case = record["case"]
        for stage in [*record["stages"], {"name": "total", **record["total"]}]:
            floor, flop = stage.get("floor_ms"), stage.get("flop")
            rows.append(
                [
                    Cell(record["method"]),
                    Cell(case["mode"]),
                    Cell(length_label(case["context"]), case["context"]),
                    Cell(stage["name"]),
                    Cell(milliseconds(stage["ms"]), stage["ms"]),
                    Cell(milliseconds(floor) if floor else NOTHING, floor),
                    Cell(share(min(1.0, floor / stage["ms"])) if floor else NOTHING),
                    Cell(f"{flop / stage['ms'] / 1e9:.3g}" if flop else NOTHING),
                ]
            )
            data.append(
                {
                    "method": record["method"],
                    "blocks": case["mode"],
                    "context": case["context"],
                    "stage": stage["name"],
                    **{name: stage.get(name) for name in ("ms", "p10", "p90", "floor_ms", "flop", "bytes")},
                }
            )
    return Table(
        f"stages-{batch.name}",
        f"Stages, {batch.title}",
        ["method", "blocks", "context", "stage", "ms", "floor", "of floor", "TFLOP/s"],
        rows,
        pd.DataFrame(data),
        [
            "Floor: operations over the measured matrix rate, or bytes that must move over the measured copy "
            "rate, whichever takes longer; a stage's floor counts what it hands on, the total's does not."
        ],
        n_keys=4,
    )


def gate_table(batch: Batch) -> Table:
    """What the correctness gate found, and peak memory."""
    rows, data = [], []
    for record in batch.records:
        if record["status"] == "unavailable":
            continue
        case, gate = record["case"], record.get("gate", {})
        peak = record.get("peak_bytes")
        rows.append(
            [
                Cell(record["method"]),
                Cell(case["mode"]),
                Cell(length_label(case["context"]), case["context"]),
                Cell(record["status"] if record["status"] == "ok" else record["status"].upper()),
                *(Cell(_percent(gate.get(name))) for name in _SHARES),
                Cell(NOTHING if peak is None else f"{peak / 2**20:,.0f}", peak),
                Cell(record.get("reason", "")),
            ]
        )
        data.append(
            {
                "method": record["method"],
                "blocks": case["mode"],
                "context": case["context"],
                "status": record["status"],
                **{name: gate.get(name) for name in ("rows", *_SHARES)},
                "peak_bytes": peak,
                "reason": record.get("reason", ""),
            }
        )
    return Table(
        f"gate-{batch.name}",
        f"Correctness and memory, {batch.title}",
        [
            "method",
            "blocks",
            "context",
            "gate",
            "tokens",
            "tokens, no ties",
            "blocks, no ties",
            "as f32 pipeline",
            "peak MiB",
            "reason",
        ],
        rows,
        pd.DataFrame(data),
        [
            "Shares of the choice that agree with the f32 reference on sampled rows; tokens against the "
            "method's own blocks where it shows them. Peak memory is beyond the inputs."
        ],
        n_keys=4,
    )


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{share(value, 5)}"


def milliseconds(value: float) -> str:
    """A duration in milliseconds with three figures."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 1 else f"{value:.3g}" if value >= 10 else f"{value:.2f}"
