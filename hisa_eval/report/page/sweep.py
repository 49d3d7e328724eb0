"""The page of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hisa_eval.report.fidelity_rows import records
from hisa_eval.report.numbers import length_label, share
from hisa_eval.report.page.heat import SCORES, Axis, HeatCell, Heatmaps, Panel
from hisa_eval.report.page.parts import Inlined, Page, Part, Section
from hisa_eval.report.page.study import ran, sample_explorer
from hisa_eval.report.study import Run, load_study
from hisa_eval.report.table import Table
from hisa_eval.run.store import RunStore

MEANINGS = {"recall": "recall of DSA's keys", "kept": "needles kept of DSA's", "score": "needles found"}


def sweep_page(
    folder: Path,
    frame: pd.DataFrame,
    facts: Mapping[str, Any],
    table: Table,
    pictures: Sequence[Inlined],
) -> Page:
    """The page.

    Args:
        folder: Of the sweep.
        frame: From `hisa_eval.report.sweep.load_sweep`.
        facts: Likewise.
        table: All variants.
        pictures: Fronts, one a token budget.
    """
    asked = [
        folder / part["accuracy"]
        for part in facts["parts"]
        if part["accuracy"] and (folder / part["accuracy"] / "samples.jsonl").is_file()
    ]
    stores = [RunStore.read(folder / part["fidelity"]) for part in facts["parts"]]
    runs = [Run(store.path, store.manifest, ()) for store in stores]
    study = load_study(asked) if asked else None
    lengths = sorted(int(one) for one in frame["length"].unique())
    variants = frame["variant"].nunique()
    budgets = ", ".join(f"{one:,}" for one in sorted(frame["topk"].unique()))
    ran_parts = ran([*runs, *(study.runs if study else ())])
    samples: list[Part] = [sample_explorer(study)] if study and len(study.samples) else []
    return Page(
        f"Sweep – {runs[0].model}",
        f"{variants} variants at k = {budgets} and {', '.join(map(length_label, lengths))}.",
        [
            Section("fronts", "Which variants does nothing beat?", list(pictures)),
            Section("variants", "Every variant", [_heatmaps(frame, lengths), table]),
            Section("samples", "Samples", samples),
            Section("runs", "What ran, and how to run it again", ran_parts),
        ],
        remarks=[text for text in [(runs[0].manifest.get("model") or {}).get("description")] if text],
    )


def _heatmaps(frame: pd.DataFrame, lengths: Sequence[int]) -> Heatmaps:
    """A panel for each quality: variants down, lengths across."""
    rows = records(frame)
    names = {int(row["variant"]): _name(row, frame) for row in rows}
    found = {(int(row["variant"]), int(row["length"])): row for row in rows}
    panels = [
        Panel(
            meaning,
            "",
            [
                [_cell(found.get((variant, one)), name, label) for one in lengths]
                for variant, label in names.items()
            ],
        )
        for name, meaning in MEANINGS.items()
        if name in frame and frame[name].notna().any()
    ]
    down = Axis("variant", list(names.values()), list(names))
    across = Axis("length", [length_label(one) for one in lengths], lengths)
    caption = "Every variant by length; the table has the same with its cost."
    return Heatmaps(caption, down, across, SCORES, "share", panels)


def _name(row: Mapping[str, Any], frame: pd.DataFrame) -> str:
    return f"{row['indexer']}, k = {row['topk']:,}" if frame["topk"].nunique() > 1 else str(row["indexer"])


def _cell(row: Mapping[str, Any] | None, name: str, label: str) -> HeatCell:
    if row is None or pd.isna(row[name]):
        return SCORES.cell(math.nan, f"{label}: not measured")
    interval = ""
    if not math.isnan(row[f"{name}_low"]):
        interval = f" [{share(row[f'{name}_low'], 3)}, {share(row[f'{name}_high'], 3)}]"
    n = {"recall": row["contexts"], "kept": row["n_kept_of"], "score": row.get("n")}[name]
    cost = "cost not known" if pd.isna(row["cost"]) else f"cost {row['cost']:.3f} of flat DSA's"
    tip = f"{label}, {length_label(row['length'])}: {share(row[name], 3)}{interval}, n = {int(n)}, {cost}"
    return SCORES.cell(row[name], tip)
