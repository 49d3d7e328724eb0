"""RULER's tables: means over tasks, averages over lengths, intervals, what was cut or failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hisa_eval.report.build import build_report
from hisa_eval.report.ruler import averages_table
from hisa_eval.report.study import load_study
from hisa_eval.report.suites import headline, suite_differences
from hisa_eval.report.weighted import Group, weighted_mean
from hisa_eval.run.store import RunStore
from hisa_eval.stats.interval import mean_interval

SCORES = {("vt", 4096): 1.0, ("vt", 8192): 0.5, ("fwe", 4096): 0.6, ("fwe", 8192): 0.0}


@pytest.fixture
def run(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """A run of two tasks at two lengths, two samples each, in which hisa fails where it is long."""

    def to_ruler(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for record in records:
            task = {0.0: "vt", 100.0: "fwe"}[record["depth"]]
            score = SCORES[task, record["length"]] / (1 if record["indexer"] == "dsa" else 2)
            name = f"ruler/{task}"
            sample_id = f"{name}/{record['length']}/s{record['sample']}"
            finish = "stop" if task == "vt" else "length"
            own = {"task": name, "sample_id": sample_id, "depth": None, "score": score}
            found.append({**record, **own, "finish_reason": finish})
        return found

    source = write(tmp_path / "as-niah", lengths=(4096, 8192), depths=(0.0, 100.0))
    records = to_ruler(RunStore.read(source).records())
    settings = {
        "lengths": [4096, 8192],
        "samples": 2,
        "tasks": ["vt", "fwe"],
        "left_out": ["qa_1"],
        "n_planned": 24,
    }
    manifest = RunStore.read(source).manifest
    environment = {**{name: manifest[name] for name in ("model", "indexers")}, "command": "ruler", "argv": []}
    with RunStore.create_or_open(tmp_path / "run", settings, environment) as store:
        for record in records:
            store.append(record)
    return tmp_path / "run"


def test_means_are_over_tasks_and_averages_over_lengths(run: Path) -> None:
    table = averages_table(load_study([run]))
    assert list(table.columns) == ["indexer", "4K", "8K", "Avg", "wAvg (inc)", "wAvg (dec)"]
    by_place = {(row["indexer"], row["average"]): row for row in table.data.to_dict("records")}
    assert by_place["dsa", "4K"]["score"] == pytest.approx(0.8)
    assert by_place["dsa", "8K"]["score"] == pytest.approx(0.25)
    assert by_place["dsa", "Avg"]["score"] == pytest.approx(0.525)
    assert by_place["dsa", "wAvg (inc)"]["score"] == pytest.approx((0.8 + 2 * 0.25) / 3)
    assert by_place["dsa", "wAvg (dec)"]["score"] == pytest.approx((2 * 0.8 + 0.25) / 3)
    assert by_place["hisa", "4K"]["score"] == pytest.approx(0.4)
    assert by_place["dsa", "Avg"]["n"] == 8
    for row in by_place.values():
        assert row["ci_low"] < row["score"] < row["ci_high"]
    assert any("2 of RULER's 13 tasks" in note for note in table.notes)
    assert any("qa_1" in note for note in table.notes)


def test_tables_name_every_task_and_length_and_what_was_cut(run: Path) -> None:
    ruler, tasks = headline(load_study([run]))
    assert (ruler.name, tasks.name) == ("ruler", "tasks")
    assert [(row[0].text, row[1].text) for row in tasks.rows] == [
        ("vt", "4K"),
        ("vt", "8K"),
        ("fwe", "4K"),
        ("fwe", "8K"),
    ]
    assert tasks.data["n_length_finishes"].sum() == 2 * 2 * 3
    assert all((", 2 cut" in cell.text) == (row[0].text == "fwe") for row in tasks.rows for cell in row[2:])


def test_differences_are_paired_within_each_task(run: Path) -> None:
    table = suite_differences(load_study([run]))
    assert table is not None
    rows = {(row[0].text, row[1].text): row for row in table.rows}
    assert rows["hisa", "vt"][2].text == "4"
    assert rows["hisa", "vt"][3].text == "−0.38"
    assert rows["hisa", "all"][2].text == "8"


def test_a_failed_sample_is_counted_beside_the_mean(run: Path, fail: Callable[..., dict[str, Any]]) -> None:
    store = RunStore.read(run)
    victim = next(one for one in store.records() if one["indexer"] == "hisa" and one["length"] == 8192)
    with RunStore.create_or_open(run, store.manifest["settings"], {"argv": []}) as writable:
        writable.append(fail(victim))
    table = averages_table(load_study([run]))
    by_place = {(row["indexer"], row["average"]): row for row in table.data.to_dict("records")}
    assert by_place["hisa", "8K"]["n_failed"] == by_place["hisa", "Avg"]["n_failed"] == 1
    assert by_place["hisa", "4K"]["n_failed"] == by_place["dsa", "Avg"]["n_failed"] == 0
    (row,) = [row for row in table.rows if row[0].text == "hisa"]
    assert "1 failed" in row[2].text


def test_the_page_holds_the_suite_and_what_is_missing(run: Path) -> None:
    built = build_report([run])
    names = {path.stem for path in (*built.tables, *built.figures)}
    assert {"ruler", "tasks", "difference-by-task", "accuracy-by-task", "accuracy-by-length"} <= names
    assert not {"heatmaps", "differences"} & names
    page = built.html.read_text(encoding="utf-8")
    assert "<h1>RULER" in page
    assert "not run yet" not in page


def test_equal_groups_are_as_wide_as_one_sample_of_all() -> None:
    groups = [Group(1.0, [1.0, 0.0]), Group(1.0, [1.0, 1.0])]
    found, pooled = weighted_mean(groups), mean_interval([1.0, 0.0, 1.0, 1.0])
    assert found.mean == pooled.mean == 0.75
    assert (found.low, found.high) == pytest.approx((pooled.low, pooled.high))


def test_the_weighted_bootstrap_has_the_standard_error_of_the_groups() -> None:
    rng = np.random.default_rng(1)
    groups = [Group(0.2, rng.random(200)), Group(0.8, rng.random(400))]
    found = weighted_mean(groups)
    assert found.method == "bootstrap"
    error = np.sqrt(sum((one.weight * np.std(one.scores, ddof=1)) ** 2 / len(one.scores) for one in groups))
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.05)
    assert weighted_mean([]).method == "none"
