"""Reading runs into data frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.errors import UserError
from hisa_eval.report.accuracy import grouped_scores
from hisa_eval.report.study import load_study

ONE = {"lengths": (8192,), "depths": (50.0,), "samples": 1, "layers": 0}


def test_series_keep_the_order_of_the_run_and_of_its_indexers(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    one = write(tmp_path / "one", **ONE, indexers=("hisa", "dsa"))
    two = write(tmp_path / "two", **ONE, indexers=("dsa", "block-sparse"), model="nano-hier")
    study = load_study([one, two])
    assert study.labels == ["hisa", "dsa · nano", "dsa · nano-hier", "block-sparse"]
    assert [series.baseline for series in study.series] == ["dsa · nano", None, None, "dsa · nano-hier"]


def test_runs_of_one_model_are_told_apart_by_folder_or_number(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    first = write(tmp_path / "a" / "run", **ONE, indexers=("dsa",))
    second = write(tmp_path / "b" / "other", **ONE, indexers=("dsa",))
    third = write(tmp_path / "b" / "run", **ONE, indexers=("dsa",))
    assert load_study([first, second]).labels == ["dsa · run", "dsa · other"]
    assert load_study([first, third]).labels == ["dsa · run 1", "dsa · run 2"]


def test_failure_under_another_key_gives_way_to_a_later_score(
    tmp_path: Path, write: Callable[..., Path], fail: Callable[..., Any]
) -> None:
    def unbuilt_first(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (record,) = records
        early = fail(record, "the sample cannot be built")
        return [{**early, "key": "0" * 64, "sample_id": "niah/8192/d50/s0"}, record]

    study = load_study([write(tmp_path / "run", **ONE, indexers=("dsa",), change=unbuilt_first)])
    assert list(study.samples["status"]) == ["ok"]


def test_two_results_for_one_sample_are_refused(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(
        tmp_path / "run",
        **ONE,
        indexers=("dsa",),
        change=lambda records: [*records, {**records[0], "key": "1" * 64, "score": 0.0}],
    )
    with pytest.raises(UserError, match="two results for sample"):
        load_study([path])


def test_real_length_is_what_was_sent(tmp_path: Path, write: Callable[..., Path]) -> None:
    def short(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**records[0], "n_total_tokens": 4800}, *records[1:]]

    study = load_study([write(tmp_path / "run", **{**ONE, "samples": 2}, indexers=("dsa",), change=short)])
    assert study.tokens(8192) == (4800, 8192)
    row = grouped_scores(study, ["length"]).iloc[0]
    assert (row["tokens_min"], row["tokens_max"]) == (4800, 8192)


def test_cells_that_were_planned_but_not_run_are_on_the_axes(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    study = load_study([write(tmp_path / "run", change=lambda records: records[:1])])
    assert study.lengths == [8192, 16384]
    assert study.depths == [0.0, 50.0, 100.0]
    assert study.labels == ["dsa", "hisa", "block-sparse"]
    assert len(grouped_scores(study, ["length", "depth"])) == 1
