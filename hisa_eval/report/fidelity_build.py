"""Everything that is written from a comparison of selections: page, tables, figures, from its store alone."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from hisa_eval.report.block_rank_table import rank_table
from hisa_eval.report.fidelity_rows import Compared, figures, scoped
from hisa_eval.report.fidelity_tables import (
    agreement_table,
    certificate_table,
    distance_table,
    layer_table,
    needle_table,
    noise_table,
    position_table,
)
from hisa_eval.report.figures.agreement import draw_by_distance, draw_by_layer, draw_by_length
from hisa_eval.report.figures.block_ranks import draw_block_ranks
from hisa_eval.report.figures.theme import Draw, render
from hisa_eval.report.files import PAGE, write_file
from hisa_eval.report.numbers import slug
from hisa_eval.report.page import Inlined, html_page, inline
from hisa_eval.report.page.fidelity import fidelity_page
from hisa_eval.report.table import Table

ALT = {
    "iou-by-layer": "IoU with flat DSA's selection by layer",
    "iou-by-length": "IoU with flat DSA's selection by length",
    "recall-by-distance": "Recall of flat DSA's keys by their distance from the query",
    "block-ranks": "Where the answer's block stands among the blocks of its context",
}


def build_fidelity_report(compared: Compared) -> tuple[dict[str, Table], list[Path]]:
    """Write the page, tables, figures and the rows themselves into the run's folder.

    Returns:
        Tables by name, and all paths.
    """
    if not len(compared.rows):
        return {}, []
    tables = comparison_tables(compared)
    distances = tables["recall-by-distance"]
    written = [path for table in tables.values() for path in table.write(compared.folder / "tables")]
    several = len(compared.inputs) > 1
    inlined: dict[str, dict[str, Inlined]] = {inputs: {} for inputs in compared.inputs}
    for inputs in compared.inputs:
        for name, draw in _pictures(compared, inputs, distances.data).items():
            stem = f"{name}-{slug(inputs)}" if several else name
            rendered = render(draw)
            written += rendered.write(compared.folder / "figures" / stem)
            alt = f"{ALT[name]}, {inputs} inputs" if several else ALT[name]
            inlined[inputs][name] = inline(rendered, stem, alt)
    written += _frame(compared.rows, compared.folder / "rows")
    written += _frame(compared.last, compared.folder / "last-rows")
    written.append(write_file(compared.folder / PAGE, html_page(fidelity_page(compared, tables, inlined))))
    return tables, written


def comparison_tables(compared: Compared) -> dict[str, Table]:
    """Every table of a comparison that has rows, by name."""
    made = [
        agreement_table(compared),
        layer_table(compared),
        position_table(compared),
        distance_table(compared),
        needle_table(compared),
        certificate_table(compared),
        noise_table(compared),
        rank_table(compared.ranks),
    ]
    return {table.name: table for table in made if table is not None}


def _pictures(compared: Compared, inputs: str, distances: pd.DataFrame) -> dict[str, Draw]:
    rows = scoped(compared.rows[compared.rows["inputs"] == inputs])
    by = ["indexer", "layer", "length", "scope"]
    by_layer = figures(rows, by, ["iou"], percentile=False)
    pooled = figures(rows.assign(layer=-1), by, ["iou"], percentile=False)
    labels = compared.compared
    lengths = sorted(int(one) for one in rows["length"].unique())
    drawn: dict[str, Any] = {
        "iou-by-layer": partial(
            draw_by_layer, labels, by_layer[by_layer["indexer"].isin(labels)], compared.run_with
        ),
        "iou-by-length": partial(
            draw_by_length,
            labels,
            lengths,
            _of(pd.concat([by_layer, pooled], ignore_index=True), labels),
            compared.run_with,
        ),
    }
    own = distances[(distances["inputs"] == inputs) & distances["indexer"].isin(labels)]
    if len(own):
        drawn["recall-by-distance"] = partial(draw_by_distance, labels, own)
    ranks = compared.ranks
    if len(ranks) and (ranks["inputs"] == inputs).any():
        drawn["block-ranks"] = partial(draw_block_ranks, ranks[ranks["inputs"] == inputs])
    return drawn


def _of(data: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    return data[data["indexer"].isin(labels)]


def _frame(frame: pd.DataFrame, stem: Path) -> list[Path]:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return [
        write_file(stem.with_suffix(".csv"), frame.to_csv(index=False, lineterminator="\n")),
        write_file(stem.with_suffix(".parquet"), buffer.getvalue()),
    ]
