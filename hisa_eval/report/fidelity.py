"""How much of flat DSA's selection each indexer kept, and whether the answer's own text was in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hisa_eval.report.accuracy import DIGITS
from hisa_eval.report.study import Study

LayerRow = Mapping[str, Any]
"""One row of `Study.layers`."""

SCOPES = ("all", "beyond")
"""All compared rows, and those that see more keys than the indexer's exact range."""


def fidelity(study: Study) -> pd.DataFrame:
    """Agreement with flat DSA per series, length and layer.

    Means are over rows, not over samples. The 5th percentile comes from the sampled rows beyond the exact
    range; over all rows it is taken with the remaining rows at 1, where they were indeed exactly 1.

    Returns:
        One row per series, length and layer; empty where nothing was probed.
    """
    rows = []
    for (label, length, layer), group in _groups(study, study.layers):
        found: dict[str, Any] = {"indexer": label, "length": length, "layer": layer, "n_samples": len(group)}
        sampled = [float(value) for one in group for value in one["iou_values"]]
        for scope in SCOPES:
            figures = _pooled([one[scope] for one in group])
            found |= {f"{name}_{scope}": value for name, value in figures.items()}
        found["iou_p5_beyond"] = _percentile(sampled, 0)
        found["iou_p5_all"] = _p5_of_all(group, found["rows_all"], found["rows_beyond"], sampled)
        for name in ("iou", "recall"):
            found[f"last_row_{name}"] = _mean([one["last_row"].get(name) for one in group])
        rows.append({name: round(v, DIGITS) if isinstance(v, float) else v for name, v in found.items()})
    return pd.DataFrame(rows)


def evidence(study: Study) -> pd.DataFrame:
    """The share of the answer's tokens that was selected while answering, per series, length and layer.

    `layer` is empty in the row of the best layer of each sample.

    Returns:
        One row per series, length and layer, with the same share where the answer was right and where not.
    """
    known = [one for one in study.layers if one["evidence"] is not None]
    rows = [
        {"indexer": label, "length": length, "layer": layer, **_evidence_row(group)}
        for (label, length, layer), group in _groups(study, known)
    ]
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for one in known:
        place = one["series"], one["sample_id"]
        if place not in best or one["evidence"] > best[place]["evidence"]:
            best[place] = {**one, "layer": 0}
    rows += [
        {"indexer": label, "length": length, "layer": None, **_evidence_row(group)}
        for (label, length, _), group in _groups(study, list(best.values()))
    ]
    frame = pd.DataFrame(rows)
    return frame.astype({"layer": "Int64"}) if rows else frame


def _groups(study: Study, layers: Iterable[LayerRow]) -> list[tuple[tuple[str, int, int], list[LayerRow]]]:
    """Rows by series, length and layer, in the order of the series."""
    places = {label: place for place, label in enumerate(study.labels)}
    groups: dict[tuple[str, int, int], list[LayerRow]] = {}
    for one in layers:
        groups.setdefault((one["series"], int(one["length"]), int(one["layer"])), []).append(one)
    return sorted(groups.items(), key=lambda item: (places[item[0][0]], *item[0][1:]))


def _mean(values: Iterable[float | None]) -> float:
    known = [float(value) for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan


def _pooled(figures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    present = [one for one in figures if one.get("rows")]
    rows = sum(int(one["rows"]) for one in present)
    found: dict[str, Any] = {"rows": rows}
    for name in ("iou", "recall"):
        found[name] = math.fsum(one[f"{name}_sum"] for one in present) / rows if rows else math.nan
        found[f"{name}_min"] = float(min(one[f"{name}_min"] for one in present)) if rows else math.nan
    return found


def _percentile(values: Sequence[float], ones: float) -> float:
    """5th percentile of `values` with equal weights that sum to `1 - ones`, the rest of the weight at 1."""
    if not values:
        return 1.0 if ones == 1 else math.nan
    rank = 0.05 / (1 - ones) if ones < 1 else math.inf
    return float(np.quantile(values, rank)) if rank <= 1 else 1.0


def _p5_of_all(group: Sequence[LayerRow], rows: int, beyond: int, sampled: Sequence[float]) -> float:
    inside = rows - beyond
    exact = _sum_of_iou(group, "all") - _sum_of_iou(group, "beyond")
    if rows == 0 or abs(exact - inside) > 1e-3 + 1e-6 * inside:
        return math.nan
    return _percentile(sampled, inside / rows)


def _sum_of_iou(group: Sequence[LayerRow], scope: str) -> float:
    return math.fsum(one[scope]["iou_sum"] for one in group if one[scope].get("rows"))


def _evidence_row(group: Sequence[LayerRow]) -> dict[str, Any]:
    right = [one["evidence"] for one in group if one["score"] == 1]
    wrong = [one["evidence"] for one in group if one["score"] != 1]
    return {
        "n": len(group),
        "evidence": round(_mean([*right, *wrong]), DIGITS),
        "n_right": len(right),
        "evidence_right": round(_mean(right), DIGITS),
        "n_wrong": len(wrong),
        "evidence_wrong": round(_mean(wrong), DIGITS),
    }
