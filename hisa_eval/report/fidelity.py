"""How much of flat DSA's selection each indexer kept, and whether the answer's own text was in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hisa_eval.report.accuracy import DIGITS
from hisa_eval.report.study import Study

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
    for label, length, layer, group in _groups(study):
        found: dict[str, Any] = {"indexer": label, "length": length, "layer": layer, "n_samples": len(group)}
        sampled = [value for values in group["iou_values"] for value in values]
        for scope in SCOPES:
            found |= {f"{name}_{scope}": value for name, value in _pooled(group[scope]).items()}
        found["iou_p5_beyond"] = _percentile(sampled, 0)
        found["iou_p5_all"] = _p5_of_all(group, found["rows_all"], found["rows_beyond"], sampled)
        for name in ("iou", "recall"):
            values = [float(row[name]) for row in group["last_row"] if row and row.get(name) is not None]
            found[f"last_row_{name}"] = float(np.mean(values)) if values else math.nan
        rows.append({name: round(v, DIGITS) if isinstance(v, float) else v for name, v in found.items()})
    return pd.DataFrame(rows)


def evidence(study: Study) -> pd.DataFrame:
    """The share of the answer's tokens that was selected while answering, per series, length and layer.

    `layer` is empty in the row of the best layer of each sample.

    Returns:
        One row per series, length and layer, with the same share where the answer was right and where not.
    """
    rows = []
    known = study.layers[study.layers["evidence"].notna()] if len(study.layers) else study.layers
    for label, length, layer, group in _groups(study, known):
        rows.append({"indexer": label, "length": length, "layer": layer, **_evidence_row(group)})
    for label in study.labels if len(known) else ():
        own = known[known["series"] == label]
        for length in _whole(own["length"]):
            group = own[own["length"] == length]
            best = (
                group.astype({"evidence": float})
                .groupby("sample_id")
                .agg({"evidence": "max", "score": "first"})
            )
            rows.append({"indexer": label, "length": length, "layer": None, **_evidence_row(best)})
    frame = pd.DataFrame(rows)
    return frame.astype({"layer": "Int64"}) if len(frame) else frame


def _groups(study: Study, layers: pd.DataFrame | None = None) -> Iterable[tuple[str, int, int, pd.DataFrame]]:
    layers = study.layers if layers is None else layers
    if not len(layers):
        return
    for label in study.labels:
        own = layers[layers["series"] == label]
        for length in _whole(own["length"]):
            at_length = own[own["length"] == length]
            for layer in _whole(at_length["layer"]):
                yield label, length, layer, at_length[at_length["layer"] == layer]


def _whole(values: pd.Series) -> list[int]:
    return sorted(int(value) for value in values.unique())


def _pooled(figures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    present = [one for one in figures if one and one["rows"] > 0]
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


def _p5_of_all(group: pd.DataFrame, rows: int, beyond: int, sampled: Sequence[float]) -> float:
    inside = rows - beyond
    exact = _sum_of_iou(group["all"]) - _sum_of_iou(group["beyond"])
    if rows == 0 or abs(exact - inside) > 1e-3 + 1e-6 * inside:
        return math.nan
    return _percentile(sampled, inside / rows)


def _sum_of_iou(figures: Iterable[Mapping[str, Any]]) -> float:
    return math.fsum(one["iou_sum"] for one in figures if one and one["rows"] > 0)


def _evidence_row(group: pd.DataFrame) -> dict[str, Any]:
    shares, right = group["evidence"].astype(float), group["score"] == 1
    return {
        "n": len(group),
        "evidence": round(float(shares.mean()), DIGITS),
        "n_right": int(right.sum()),
        "evidence_right": round(float(shares[right].mean()), DIGITS),
        "n_wrong": int((~right).sum()),
        "evidence_wrong": round(float(shares[~right].mean()), DIGITS),
    }
