"""Figures on the selection, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.report.fidelity import evidence, fidelity
from hisa_eval.report.selection_tables import evidence_table, fidelity_table
from hisa_eval.report.study import Study, load_study


def rows(n: int, iou_sum: float, iou_min: float) -> dict[str, Any]:
    return {"rows": n, "iou_sum": iou_sum, "iou_min": iou_min, "recall_sum": iou_sum, "recall_min": iou_min}


def layer(number: int, evidence_share: float | None, low: float = 0.5) -> dict[str, Any]:
    """Four rows, two of them beyond the exact range with IoU `low` and 0.7."""
    return {
        "layer": number,
        "all": rows(4, 2 + low + 0.7, low),
        "beyond": rows(2, low + 0.7, low),
        "iou_values": [low, 0.7],
        "last_row": {"visible": 16384, "iou": low, "recall": 0.8},
        "evidence": evidence_share,
    }


@pytest.fixture
def study(tmp_path: Path, write: Callable[..., Path]) -> Study:
    layers = {
        0: [layer(0, 1.0), layer(1, 0.0)],
        1: [layer(0, 0.0, low=0.1), layer(1, 0.5, low=0.1)],
    }

    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for record in records:
            record["score"] = float(record["sample"] == 0)
            record["selection"] = {"layers": layers[record["sample"]]}
        return records

    return load_study(
        [
            write(
                tmp_path / "run",
                indexers=("hisa",),
                lengths=(16384,),
                depths=(50.0,),
                samples=2,
                change=change,
            )
        ]
    )


def test_means_are_over_rows(study: Study) -> None:
    first = fidelity(study).iloc[0]
    assert (first["rows_all"], first["rows_beyond"], first["n_samples"]) == (8, 4, 2)
    assert first["iou_all"] == pytest.approx((4 + 0.5 + 0.7 + 0.1 + 0.7) / 8)
    assert first["iou_beyond"] == pytest.approx((0.5 + 0.7 + 0.1 + 0.7) / 4)
    assert (first["iou_min_all"], first["iou_min_beyond"]) == (0.1, 0.1)
    assert (first["last_row_iou"], first["last_row_recall"]) == pytest.approx((0.3, 0.8))


def test_percentile_of_all_rows_counts_the_exact_ones(study: Study) -> None:
    first = fidelity(study).iloc[0]
    assert first["iou_p5_beyond"] == pytest.approx(0.1 + 0.15 * 0.4)
    assert first["iou_p5_all"] == pytest.approx(0.1 + 0.3 * 0.4)


def test_percentile_is_not_claimed_where_rows_inside_were_not_exact(study: Study) -> None:
    for row in study.layers:
        row["all"]["iou_sum"] -= 0.5
    assert math.isnan(fidelity(study).iloc[0]["iou_p5_all"])


def test_no_rows_beyond_is_nothing_not_zero(study: Study) -> None:
    for row in study.layers:
        row["all"].update(rows(4, 4.0, 1.0))
        row["beyond"].update(rows(0, 0.0, 0.0))
        row["iou_values"].clear()
    found = fidelity(study)
    assert (found["rows_beyond"] == 0).all()
    assert found[["iou_beyond", "iou_min_beyond", "recall_beyond", "iou_p5_beyond"]].isna().all(axis=None)
    assert (found[["iou_all", "iou_min_all", "iou_p5_all"]] == 1).all(axis=None)
    made = fidelity_table(found)
    assert made is not None
    beyond = [name for name in made.columns if name.endswith("beyond") and name != "rows beyond"]
    assert {made.rows[0][made.columns.index(name)].text for name in beyond} == {"–"}


def test_evidence_by_layer_and_of_the_best_layer(study: Study) -> None:
    found = evidence(study)
    by_layer = {
        None if row["layer"] is None else row["layer"]: row
        for row in found.astype(object).where(found.notna(), None).to_dict("records")
    }
    assert by_layer[0]["evidence"] == 0.5
    assert by_layer[1]["evidence"] == 0.25
    assert by_layer[None]["evidence"] == 0.75
    assert (by_layer[0]["evidence_right"], by_layer[0]["evidence_wrong"]) == (1.0, 0.0)
    made = evidence_table(found)
    assert made is not None
    assert [row[2].text for row in made.rows] == ["0", "1", "best"]


def test_unprobed_run_has_neither(tmp_path: Path, write: Callable[..., Path]) -> None:
    study = load_study([write(tmp_path / "run", layers=0, samples=1)])
    assert fidelity_table(fidelity(study)) is None
    assert evidence_table(evidence(study)) is None
