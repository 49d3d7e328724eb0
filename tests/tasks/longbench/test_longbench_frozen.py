"""Frozen answers of all data sets: our scores are the official scorer's."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hisa_tasks.longbench.catalog import DATASETS, EXTENDED
from hisa_tasks.longbench.scoring import score, score_answer, scored_part
from hisa_tasks.longbench.totals import official_buckets, official_score
from hisa_tasks.sample import Sample

HERE = Path(__file__).parent
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (HERE / "frozen.jsonl").read_bytes().decode().split("\n") if line
]
TOTALS = json.loads((HERE / "frozen-totals.json").read_text("utf-8"))


def ours(row: dict[str, Any], **options: str) -> float:
    return score_answer(row["dataset"], row["answers"], row["pred"], row["all_classes"], **options)


@pytest.mark.parametrize("name", DATASETS)
def test_scores_are_the_official_ones(name: str) -> None:
    rows = [row for row in ROWS if row["dataset"] == name]
    assert len(rows) >= 6
    assert any(len(row["answers"]) > 1 for row in rows)
    assert any(row["pred"] == "" for row in rows)
    assert any("\n" in row["pred"] for row in rows)
    assert any(not row["pred"].isascii() for row in rows)
    assert len({row["official"] for row in rows}) > 2
    for row in rows:
        assert ours(row) == pytest.approx(row["official"], abs=1e-9), row["id"]
    assert official_score([ours(row) for row in rows]) == TOTALS[name]["score"]


@pytest.mark.parametrize("name", EXTENDED)
def test_buckets_are_the_official_ones(name: str) -> None:
    rows = [{**row, "dataset": name} for row in ROWS if row["dataset"] + "_e" == name]
    found = official_buckets([ours(row) for row in rows], [row["length"] for row in rows])
    assert found == TOTALS[name.removesuffix("_e")]["by_length"]


def test_code_similarity_with_levenshtein_is_the_variant_rapidfuzz() -> None:
    pytest.importorskip("rapidfuzz")
    rows = [row for row in ROWS if "official_levenshtein" in row]
    assert len(rows) == 26
    assert any(row["official"] != row["official_levenshtein"] for row in rows)
    for row in rows:
        assert ours(row, code="rapidfuzz") == row["official_levenshtein"], row["id"]


def test_an_empty_bucket_has_no_number() -> None:
    found = official_buckets([0.5], [3999])
    assert found["0-4k"] == 50.0
    assert math.isnan(found["4-8k"])
    assert math.isnan(found["8k+"])


@pytest.mark.parametrize(
    ("prediction", "part"),
    [("a\nb", "a"), ("\n\na\nb", "a"), (" \na", " "), ("\r\na", "\r"), ("", ""), ("\n", "")],
)
def test_the_first_line_rule(prediction: str, part: str) -> None:
    for name in ("trec", "triviaqa", "samsum", "lsht", "trec_e"):
        assert scored_part(name, prediction) == part
    assert scored_part("qasper", prediction) == prediction


def test_a_sample_is_scored_by_its_own_facts() -> None:
    meta = {"dataset": "trec", "all_classes": ["City", "Date"]}
    sample = Sample("s", "longbench", "", ("City",), 64, 0, 0, meta=meta)
    assert score(sample, "City or Date\nno") == 0.5
    code = Sample("s", "longbench", "", ("ab" + "x" * 230,), 64, 0, 0, meta={"dataset": "lcc"})
    assert score(code, "x" * 250 + "ab") == 0.01


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="unknown LongBench data set 'quasper' – did you mean 'qasper'"):
        score_answer("quasper", ["x"], "x")
    with pytest.raises(ValueError, match="trec is scored against its classes, and none are given – "):
        score_answer("trec", ["x"], "x")
    with pytest.raises(ValueError, match="references are one string, 'x' – "):
        score_answer("qasper", "x", "x")
    assert score_answer("qasper", [], "x") == 0.0
