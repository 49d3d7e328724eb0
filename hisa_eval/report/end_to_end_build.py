"""Everything that is written from an end-to-end measurement, from its store alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hisa_eval.report.end_to_end import EndToEnd
from hisa_eval.report.end_to_end_tables import break_even_table, gate_table, times_table
from hisa_eval.report.table import Table


def build_end_to_end_report(measured: EndToEnd) -> tuple[list[Table], list[Path]]:
    """Write tables and the figure of a measurement into its folder.

    Returns:
        The tables, and all paths.
    """
    from hisa_eval.report.figures.end_to_end import draw_end_to_end
    from hisa_eval.report.figures.theme import render

    made = (times_table(measured), break_even_table(measured), gate_table(measured))
    tables = [table for table in made if table is not None]
    written = [path for table in tables for path in table.write(measured.folder / "tables")]
    if any(one.timed for one in measured.cells.values()):
        rendered = render(partial(draw_end_to_end, measured))
        written += rendered.write(measured.folder / "figures" / "end-to-end")
    return tables, written
