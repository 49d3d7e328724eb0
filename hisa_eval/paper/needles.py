"""Figure 3: needles by context length and depth, one heatmap an indexer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from hisa_eval.paper.item import Item
from hisa_eval.paper.pairs import claim
from hisa_eval.paper.sources import pick, setting
from hisa_eval.paper.verdict import Claim, better, close, missing
from hisa_eval.report.accuracy import grouped_scores
from hisa_eval.report.figures.grid import Grid
from hisa_eval.report.figures.heatmaps import draw_scores, score_grids
from hisa_eval.report.figures.legend import note_below
from hisa_eval.report.numbers import length_label
from hisa_eval.report.page import Picture
from hisa_eval.report.score_tables import accuracy_table
from hisa_eval.report.study import Study
from hisa_eval.report.table import Table

NAME = "F3"
TITLE = "Needle in a haystack"
ORDER = ("dsa", "block-sparse", "hisa")
"""Panels from left to right, as in the paper."""
CLOSE = "HISA finds needles as DSA does (Figure 3a, c)"
BETTER = "HISA finds more needles than Block-Sparse (Figure 3b, c)"


def needles_item(studies: Sequence[Study]) -> Item:
    """Figure 3 of every needle run."""
    if not studies:
        none = [missing(NAME, said, "needles") for said in (CLOSE, BETTER)]
        return Item(NAME, TITLE, claims=none, missing="No needle run was given.")
    pictures: dict[str, Picture] = {}
    tables: list[Table] = []
    claims: list[Claim] = []
    for number, study in enumerate(studies, 1):
        stem = "F3-needles" if len(studies) == 1 else f"F3-needles-{number}"
        manifest = study.runs[0].manifest
        where = f"{setting(manifest)}; {candidates(manifest)}"
        grids = score_grids(study, grouped_scores(study, ["length", "depth"]))
        own = {name: pick(study.labels, name) for name in ORDER}
        first = [label for name in ORDER if (label := own[name])]
        order = [*first, *(label for label in study.labels if label not in first)]
        pictures[stem] = Picture(
            partial(_draw, [grids[label] for label in order], _note(study, where)),
            "Needles found by context length and depth, in the paper's order",
        )
        table = accuracy_table(study)
        tables.append(_renamed(table, f"{stem}-accuracy", f"Figure 3, needles found ({where})"))
        claims += [
            claim(NAME, CLOSE, study, (own["hisa"], own["dsa"]), close, where),
            claim(NAME, BETTER, study, (own["hisa"], own["block-sparse"]), better, where),
        ]
    return Item(NAME, TITLE, pictures, tables, claims)


def candidates(manifest: Mapping[str, Any]) -> str:
    """How many blocks HISA keeps in a run; the paper's needles use 4:1."""
    for one in manifest.get("indexers") or ():
        if str(one["label"]).split(":")[0] == "hisa":
            options = one.get("settings") or {}
            if options.get("ratio"):
                return f"HISA keeps 1 block in {options['ratio']:g}"
            return f"HISA keeps m = {options.get('num_blocks')} blocks of {options.get('block_size')}"
    return "without HISA"


def _note(study: Study, where: str) -> str:
    counts = study.samples.groupby(["series", "length", "depth"]).size()
    few, many = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    n = f"{few}" if few == many else f"{few} to {many}"
    span = f"{length_label(study.lengths[0])} to {length_label(study.lengths[-1])}" if study.lengths else ""
    return (
        f"n = {n} a cell, {span}; intervals in the table. {where}. The paper: DeepSeek-V3.2, 8K to 128K, 4:1."
    )


def _draw(grids: Sequence[Grid], note: str) -> Figure:
    figure = draw_scores(grids)
    note_below(figure, note)
    return figure


def _renamed(table: Table, name: str, title: str) -> Table:
    return Table(name, title, table.columns, table.rows, table.data, table.notes, table.n_keys)
