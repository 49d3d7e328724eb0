"""The page of a latency measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hisa_eval.report.figures.theme import difference_map
from hisa_eval.report.latency_study import Batch, Measured, speedup
from hisa_eval.report.numbers import length_label
from hisa_eval.report.page.heat import Axis, HeatCell, Heatmaps, Panel, Scale
from hisa_eval.report.page.parts import Folded, Inlined, Page, Part, Section
from hisa_eval.report.page.study import ran
from hisa_eval.report.study import Run
from hisa_eval.report.table import Table


def ratio_label(doublings: float) -> str:
    """A ratio by its logarithm to base 2, with two figures."""
    ratio = 2**doublings
    return f"{ratio:.0f}×" if ratio >= 9.95 else f"{ratio:.2g}×"


SPEED_UPS = Scale(-3, 3, difference_map(), ratio_label)
"""Ratios by their logarithm to base 2: an eighth to eight times as fast."""


def latency_page(
    measured: Measured, device: str, tables: Mapping[str, Sequence[Table]], pictures: Mapping[str, Inlined]
) -> Page:
    """The page.

    Args:
        measured: What was measured.
        device: What the device is, in words.
        tables: By batch: totals, stages and gate.
        pictures: By batch, where there is one.
    """
    sections = []
    for batch in measured.batches():
        totals, *rest = tables[batch.name]
        parts: list[Part] = [pictures[batch.name]] if batch.name in pictures else []
        parts += [one for one in [_speed_ups(batch)] if one is not None]
        parts.append(totals)
        parts += [Folded(one.title, [one]) for one in rest if one.rows]
        sections.append(Section(batch.name, batch.title, parts))
    settings = measured.manifest.get("settings") or {}
    run = Run(measured.folder, {**measured.manifest, "settings": settings}, ())
    ok = sum(record["status"] == "ok" for record in measured.records)
    return Page(
        "Latency of selections",
        f"{device}; {ok:,} of {len(measured.records):,} measurements have a time.",
        [*sections, Section("runs", "What was measured, and how to measure it again", ran([run]))],
    )


def _speed_ups(batch: Batch) -> Heatmaps | None:
    """How many times faster than the fastest flat method; None where there is none to compare with."""
    lines = [("flat", method) for method in batch.methods("flat")]
    lines += [(mode, method) for mode in batch.modes for method in batch.methods("hisa")]
    cells = [[_cell(batch, mode, method, one) for one in batch.contexts] for mode, method in lines]
    kept = [place for place, row in enumerate(cells) if any(cell.kind != "missing" for cell in row)]
    if not any(cell.kind == "value" for row in cells for cell in row):
        return None
    labels = [
        f"{method}, {mode}" if mode != "flat" else method for mode, method in (lines[place] for place in kept)
    ]
    return Heatmaps(
        "Times as fast as the fastest flat method of the same context; colours end at an eighth and at eight "
        "times.",
        Axis("method", labels, kept),
        Axis("context", [length_label(one) for one in batch.contexts], batch.contexts),
        SPEED_UPS,
        "times as fast:",
        [Panel("", "", [cells[place] for place in kept])],
    )


def _cell(batch: Batch, mode: str, method: str, context: int) -> HeatCell:
    where = f"{method}, {length_label(context)}" + (f", {mode}" if mode != "flat" else "")
    record = batch.find(method, mode, context)
    if record is None or record["status"] == "unavailable":
        return SPEED_UPS.cell(math.nan, f"{where}: not measured")
    if record["status"] != "ok":
        why = f"{record['status'].upper()}, {record['reason']}"
        return SPEED_UPS.cell(math.nan, f"{where}: {why}", n_failed=1)
    total, ratio = record["total"], speedup(batch, record)
    tip = f"{where}: median {total['ms']:.3g} ms [{total['p10']:.3g}, {total['p90']:.3g}]"
    if total.get("passes"):
        tip += f", {total['passes']} passes"
    if ratio is None:
        return SPEED_UPS.cell(math.nan, f"{tip}; no flat method to compare with")
    return SPEED_UPS.cell(math.log2(ratio), f"{tip}; {ratio:.2f}× the fastest flat method's speed")
