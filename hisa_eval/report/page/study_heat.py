"""Heatmaps of a suite's run: scores over depths or tasks and lengths, and the selection over layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from hisa_eval.report.numbers import depth_label, length_label, share, signed
from hisa_eval.report.page.heat import DIFFERENCES, SCORES, Axis, HeatCell, Heatmaps, Panel, Scale, score_tip
from hisa_eval.report.study import Study
from hisa_eval.report.task_tables import short_name
from hisa_eval.stats.paired import paired_difference

Find = Callable[[str, Any, int], HeatCell]
"""Makes the cell of a series, a row's value and a length."""


def score_heatmaps(study: Study, cells: pd.DataFrame, rows: str, tasks: Sequence[str] = ()) -> Heatmaps:
    """Mean score by length and depth or task.

    Args:
        study: What was run.
        cells: Scores grouped by length and `rows`.
        rows: `depth` or `task`.
        tasks: Names as in records, where the rows are tasks.
    """
    found = {(one["indexer"], one[rows], one["length"]): one for one in cells.to_dict("records")}

    def cell(label: str, value: Any, length: int) -> HeatCell:
        row = found.get((label, value, length))
        tip = f"{_place(label, rows, value, length)}: {score_tip(row)}"
        score, n_failed = (math.nan, 0) if row is None else (row["score"], row["n_failed"])
        return SCORES.cell(score, tip, n_failed=n_failed)

    caption = f"Mean score by length and {rows}; a cell tells count and interval, and leads to its samples."
    return _heatmaps(study, _rows(study, rows, tasks), SCORES, "score", caption, cell, study.labels)


def difference_heatmaps(study: Study, rows: str, tasks: Sequence[str] = ()) -> Heatmaps | None:
    """Score minus flat DSA's on the same samples; None where no series has such a baseline."""
    baselines = {one.label: one.baseline for one in study.series if one.baseline is not None}
    if not baselines:
        return None
    scores: dict[tuple[str, Any, int], dict[str, float]] = {}
    failures: Counter[tuple[str, Any, int]] = Counter()
    columns = ["series", rows, "length", "status", "sample_id", "prompt_sha256", "score"]
    for series, value, length, status, name, sha, score in study.samples[columns].itertuples(index=False):
        # Paired are samples with the same prompt, as in the table of differences.
        if status == "ok":
            scores.setdefault((series, value, length), {})[f"{name}\n{sha or ''}"] = float(score)
        else:
            failures[series, value, length] += 1

    def cell(label: str, value: Any, length: int) -> HeatCell:
        where = _place(label, rows, value, length)
        both = [(one, value, length) for one in (str(baselines[label]), label)]
        pair = paired_difference(*(scores.get(one, {}) for one in both))
        n_failed = sum(failures[one] for one in both)
        if not pair.n_pairs:
            return DIFFERENCES.cell(math.nan, f"{where}: no pair, {n_failed} failed", n_failed=n_failed)
        interval = "" if math.isnan(pair.low) else f" [{signed(pair.low)}, {signed(pair.high)}]"
        counts = f"{pair.n_pairs} pairs, {pair.better} better, {pair.worse} worse"
        return DIFFERENCES.cell(
            pair.mean, f"{where}: {signed(pair.mean)}{interval}, {counts}", n_failed=n_failed
        )

    caption = "Score minus flat DSA's on the same samples; with an interval from ten pairs on."
    labels = list(baselines)
    return _heatmaps(study, _rows(study, rows, tasks), DIFFERENCES, "difference", caption, cell, labels)


def agreement_heatmaps(study: Study, agreement: pd.DataFrame) -> Heatmaps:
    """IoU with flat DSA's selection by layer and length.

    Args:
        study: What was run.
        agreement: From `hisa_eval.report.fidelity.fidelity`.
    """
    found = _by_layer(agreement)

    def cell(label: str, layer: Any, length: int) -> HeatCell:
        row, where = found.get((label, layer, length)), _place(label, "layer", layer, length)
        if row is None:
            return SCORES.cell(math.nan, f"{where}: not measured")
        tip = f"{where}: IoU {share(row['iou_all'], 3)}, {_spread(row, 'all')} of {row['n_samples']} samples"
        if row["rows_beyond"]:
            tip += f"; beyond the exact range {share(row['iou_beyond'], 3)}, {_spread(row, 'beyond')}"
        return SCORES.cell(row["iou_all"], tip)

    caption = "Mean IoU over the probed rows by layer and length."
    labels = [label for label in study.labels if (agreement["indexer"] == label).any()]
    return _heatmaps(study, _layers(agreement), SCORES, "IoU", caption, cell, labels, picks=False)


def evidence_heatmaps(study: Study, shares: pd.DataFrame) -> Heatmaps:
    """Share of the answer's tokens that was selected, by layer and length.

    Args:
        study: What was run.
        shares: From `hisa_eval.report.fidelity.evidence`.
    """
    shares = shares[shares["layer"].notna()]
    found = _by_layer(shares)

    def cell(label: str, layer: Any, length: int) -> HeatCell:
        row, where = found.get((label, layer, length)), _place(label, "layer", layer, length)
        if row is None:
            return SCORES.cell(math.nan, f"{where}: not measured")
        tip = f"{where}: {share(row['evidence'], 3)} of the answer's tokens, n = {row['n']}"
        for name, meaning in (("right", "right"), ("wrong", "not right")):
            if row[f"n_{name}"]:
                tip += f"; where {meaning} {share(row[f'evidence_{name}'], 3)}, n = {row[f'n_{name}']}"
        return SCORES.cell(row["evidence"], tip)

    caption = "Share of the answer's tokens that the answering rows selected, by layer and length."
    labels = [label for label in study.labels if (shares["indexer"] == label).any()]
    return _heatmaps(study, _layers(shares), SCORES, "selected", caption, cell, labels, picks=False)


def _heatmaps(
    study: Study,
    rows: Axis,
    scale: Scale,
    meaning: str,
    caption: str,
    cell: Find,
    labels: Sequence[str],
    *,
    picks: bool = True,
) -> Heatmaps:
    columns = Axis("length", [length_label(one) for one in study.lengths], study.lengths)
    panels = [
        Panel(label, label, [[cell(label, value, one) for one in study.lengths] for value in rows.values])
        for label in labels
    ]
    return Heatmaps(caption, rows, columns, scale, meaning, panels, picks)


def _rows(study: Study, name: str, tasks: Sequence[str]) -> Axis:
    if name == "task":
        return Axis(name, [short_name(task) for task in tasks], tasks)
    return Axis(name, [f"{depth_label(one)} %" for one in study.depths], study.depths)


def _layers(frame: pd.DataFrame) -> Axis:
    layers = sorted(int(one) for one in frame["layer"].unique())
    return Axis("layer", [str(one) for one in layers], layers)


def _by_layer(frame: pd.DataFrame) -> dict[tuple[str, int, int], Mapping[Any, Any]]:
    rows = frame.to_dict("records")
    return {(str(one["indexer"]), int(one["layer"]), int(one["length"])): one for one in rows}


def _place(label: str, rows: str, value: Any, length: int) -> str:
    if rows == "depth":
        what = f"depth {depth_label(value)} %"
    else:
        what = short_name(value) if rows == "task" else f"layer {value}"
    return f"{label}, {length_label(length)}, {what}"


def _spread(row: Mapping[Any, Any], scope: str) -> str:
    return f"lowest {share(row[f'iou_min_{scope}'], 3)} of {row[f'rows_{scope}']:,} rows"
