"""Everything that is written from a latency measurement: page, tables and figures, from its folder alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hisa_eval.report.files import PAGE, write_file
from hisa_eval.report.latency_study import Measured
from hisa_eval.report.latency_tables import gate_table, stages_table, totals_table
from hisa_eval.report.table import Table


def build_latency_report(measured: Measured) -> tuple[list[Table], list[Path]]:
    """Write the page, tables and figures of a measurement into its folder.

    Returns:
        The tables, and all paths.
    """
    from hisa_eval.report.figures.theme import render
    from hisa_eval.report.latency_figure import draw_latency
    from hisa_eval.report.page import html_page, inline
    from hisa_eval.report.page.latency import latency_page

    by_batch: dict[str, list[Table]] = {}
    pictures = {}
    device = device_line(measured)
    written: list[Path] = []
    for batch in measured.batches():
        totals = totals_table(batch, on_cpu=measured.on_cpu)
        by_batch[batch.name] = [totals, stages_table(batch), gate_table(batch)]
        if any(r["status"] == "ok" and r["family"] != "attention" for r in batch.records):
            rendered = render(partial(draw_latency, batch, device, measured.attention(batch)))
            written += rendered.write(measured.folder / "figures" / f"latency-{batch.name}")
            pictures[batch.name] = inline(rendered, f"latency-{batch.name}", f"Latency, {batch.title}")
    tables = [one for own in by_batch.values() for one in own]
    for table in tables:
        written += table.write(measured.folder / "tables")
    page = html_page(latency_page(measured, device, by_batch, pictures))
    written.append(write_file(measured.folder / PAGE, page))
    return tables, written


def device_line(measured: Measured) -> str:
    """The device, and what the floors stand on."""
    device = measured.manifest.get("device") or {}
    ceilings = measured.manifest.get("ceilings") or {}
    parts = [str(device.get("name", "unknown device"))]
    if ceilings:
        parts.append(f"measured ceilings: copy {_rate(ceilings['bytes_per_s'])}B/s")
        parts += [f"{dtype} {_rate(rate)}FLOP/s" for dtype, rate in ceilings["flop_per_s"].items()]
    return ", ".join(parts)


def _rate(value: float) -> str:
    """A rate with three figures and its unit's prefix."""
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G")):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "
