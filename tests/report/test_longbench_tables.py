"""LongBench's tables: unweighted means as in Table 1, LongBench-E apart, failures beside the mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.report.build import build_report
from hisa_eval.report.longbench import longbench_tables
from hisa_eval.report.study import load_study
from hisa_eval.report.table import Table
from hisa_eval.run.store import RunStore

SCORES = {
    "qasper": [1.0, 0.5],
    "narrativeqa": [0.25],
    "trec": [1.0, 0.0, 1.0, 1.0],
    "lcc": [0.4],
    "qasper_e": [0.1, 0.3],
}


@pytest.fixture
def run(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """A run of two indexers; the second scores half."""
    source = RunStore.read(write(tmp_path / "as-niah", indexers=("dsa", "hisa"), samples=8))
    settings = {"tasks": list(SCORES), "suite": "v1", "n_planned": 20}
    environment = {"command": "longbench", "argv": [], "model": source.manifest["model"]}
    environment["indexers"] = source.manifest["indexers"]
    with RunStore.create_or_open(tmp_path / "run", settings, environment) as store:
        for indexer in ("dsa", "hisa"):
            own = iter([one for one in source.records() if one["indexer"] == indexer])
            for name, scores in SCORES.items():
                for place, score in enumerate(scores):
                    store.append(_record(next(own), name, place, score / (1 if indexer == "dsa" else 2)))
    return tmp_path / "run"


def _record(record: dict[str, Any], name: str, place: int, score: float) -> dict[str, Any]:
    details = {"dataset": name, "n_cut": 10 if place == 0 else 0}
    if name.endswith("_e"):
        details["bucket"] = ("0-4k", "8k+")[place]
    changed = {"task": f"longbench/{name}", "sample_id": f"longbench/{name}/{place}", "depth": None}
    hashed = {"prompt_sha256": f"{name}/{place}"}
    return {**record, **changed, **hashed, "sample": place, "score": score, "details": details}


def tables(run: Path) -> dict[str, Table]:
    """Tables by name."""
    return {one.name: one for one in longbench_tables(load_study([run]))}


def test_categories_are_means_of_data_sets_and_avg_of_categories(run: Path) -> None:
    table = tables(run)["longbench"]
    assert list(table.columns) == [
        "indexer",
        "SQA",
        "MQA",
        "Sum",
        "FS",
        "Syn",
        "Code",
        "Avg",
        "n",
        "failed",
        "cut",
    ]
    found = {row["column"]: row for row in table.data.to_dict("records") if row["indexer"] == "dsa"}
    assert found["SQA"]["score"] == pytest.approx((0.75 + 0.25) / 2)
    assert found["FS"]["score"] == pytest.approx(0.75)
    assert found["Avg"]["score"] == pytest.approx((0.5 + 0.75 + 0.4) / 3)
    assert found["Avg"]["n"] == 8
    assert found["Avg"]["ci_low"] < found["Avg"]["score"] < found["Avg"]["ci_high"]
    assert table.rows[0][2].text == "–"


def test_longbench_e_is_averaged_apart_and_by_length(run: Path) -> None:
    found = tables(run)
    whole = {row["column"]: row["score"] for row in found["longbench-e"].data.to_dict("records")[:7]}
    assert whole["SQA"] == whole["Avg"] == pytest.approx(0.2)
    lengths = {
        row["column"]: row["score"] for row in found["longbench-e-lengths"].data.to_dict("records")[:3]
    }
    assert lengths["0-4k"] == pytest.approx(0.1)
    assert lengths["8k+"] == pytest.approx(0.3)


def test_data_sets_say_what_was_cut(run: Path) -> None:
    rows = {row[0].text: row for row in tables(run)["tasks"].rows}
    assert list(rows) == ["narrativeqa", "qasper", "trec", "lcc", "qasper_e"]
    assert rows["trec"][1].text == "1 of 4"
    assert rows["trec"][2].text.startswith("0.75 [")


def test_a_failure_is_counted_and_a_later_success_takes_its_place(
    run: Path, fail: Callable[..., dict[str, Any]]
) -> None:
    store = RunStore.read(run)
    victim = next(one for one in store.records() if one["indexer"] == "dsa" and one["task"].endswith("/lcc"))
    unbuilt = {**fail(victim, "too long"), "length": None, "key": "0" * 64}
    with RunStore.create_or_open(run, store.manifest["settings"], {"argv": []}) as writable:
        writable.append(unbuilt)
    assert tables(run)["longbench"].rows[0][-2].text == "0"
    with RunStore.create_or_open(run, store.manifest["settings"], {"argv": []}) as writable:
        writable.append({**unbuilt, "sample_id": "longbench/lcc/9", "sample": 9})
    assert tables(run)["longbench"].rows[0][-2].text == "1"
    build_report([run])


def test_the_page_holds_every_table(run: Path) -> None:
    built = build_report([run])
    names = {path.stem for path in built.tables}
    assert {"longbench", "longbench-e", "longbench-e-lengths", "tasks", "difference-by-task"} <= names
    page = built.html.read_text(encoding="utf-8")
    assert "Single-Document QA" in page
    assert "not run yet" not in page
