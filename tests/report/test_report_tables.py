"""Numbers and their written form."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hisa_eval.report.numbers import depth_label, length_label, seconds, share, short_share, signed, slug
from hisa_eval.report.score_tables import accuracy_table, difference_table
from hisa_eval.report.selection_tables import seconds_table
from hisa_eval.report.study import load_study
from hisa_eval.report.table import Cell, Table


@pytest.mark.parametrize(
    ("tokens", "label"),
    [
        (512, "512"),
        (8192, "8K"),
        (8191, "8,191"),
        (131072, "128K"),
        (1048576, "1M"),
        (100000, "100,000"),
        (4800, "4,800"),
    ],
)
def test_length_label_never_rounds(tokens: int, label: str) -> None:
    assert length_label(tokens) == label


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1.0, 3, "1.000"),
        (0.99996, 3, "0.999"),
        (0.0, 2, "0.00"),
        (0.0001, 2, "0.01"),
        (0.5, 2, "0.50"),
        (math.nan, 2, "–"),
    ],
)
def test_share_is_one_or_zero_only_when_it_is(value: float, digits: int, text: str) -> None:
    assert share(value, digits) == text


def test_other_numbers() -> None:
    assert [short_share(value) for value in (1.0, 0.8, 2 / 3, 0.0)] == ["1", "0.8", "0.67", "0"]
    assert [signed(value) for value in (0.25, -0.25, 0.0, -0.001)] == ["+0.25", "−0.25", "0.00", "0.00"]
    assert [depth_label(value) for value in (0.0, 12.5, 33.333, 100.0)] == ["0", "12.5", "33.33", "100"]
    assert [seconds(value) for value in (0.01234, 12.34, 1234.5)] == ["0.0123", "12.3", "1234"]
    assert slug("hisa:block_size=64,ratio=4 · nano") == "hisa-block-size-64-ratio-4-nano"


def table(text: str) -> Table:
    return Table(
        "t", "A & B", ["a_b", "n"], [[Cell(text), Cell("1", 1)]], pd.DataFrame({"n": [1]}), ["50% of it."]
    )


def test_latex_escapes_and_uses_booktabs() -> None:
    source = table("x_1 & {y} #2 ~ ^ \\ − –").latex()
    assert r"x\_1 \& \{y\} \#2 \textasciitilde{} \textasciicircum{} \textbackslash{} $-$ -- & 1 \\" in source
    assert r"\caption{A \& B. 50\% of it.}" in source
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{@{}lr@{}}"):
        assert rule in source


def test_markdown_keeps_its_columns() -> None:
    lines = table("a|b\nc").markdown().splitlines()
    assert lines[2:5] == ["| a_b | n |", "| :-- | --: |", "| a\\|b c | 1 |"]


def scores(
    values: dict[str, list[float | None]], fail: Callable[..., Any]
) -> Callable[[list[dict]], list[dict]]:
    """Give the n-th sample of each indexer its score; None fails it."""

    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        out = []
        for record in records:
            score = values[record["indexer"]][record["sample"]]
            out.append(fail(record) if score is None else {**record, "score": score})
        return out

    return change


def test_accuracy_by_hand(tmp_path: Path, write: Callable[..., Path], fail: Callable[..., Any]) -> None:
    values: dict[str, list[float | None]] = {
        "dsa": [1, 1, 1, 1],
        "hisa": [1, 0, None, 1],
        "block-sparse": [None] * 4,
    }
    path = write(
        tmp_path / "run", lengths=(8192,), depths=(50.0,), samples=4, layers=0, change=scores(values, fail)
    )
    made = accuracy_table(load_study([path]))
    first = [cell.text for cell in made.rows[0]]
    assert first == [
        "8K",
        "8,192",
        "1.00 [0.51, 1.00] n=4",
        "0.67 [0.21, 0.94] n=3, 1 failed",
        "failed (4)",
    ]
    hisa = made.data[made.data["indexer"] == "hisa"].iloc[0]
    assert hisa["score"] == pytest.approx(2 / 3, abs=1e-6)
    assert (hisa["n"], hisa["n_failed"], hisa["ci_method"]) == (3, 1, "wilson")
    assert any("in no mean" in note for note in made.notes)


def test_difference_is_paired_on_the_same_prompts(
    tmp_path: Path, write: Callable[..., Path], fail: Callable[..., Any]
) -> None:
    values: dict[str, list[float | None]] = {
        "dsa": [1, 1, 0, None],
        "hisa": [0, 1, 1, 0],
        "block-sparse": [1, 0, 0, 1],
    }

    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        changed = scores(values, fail)(records)
        for record in changed:
            if record["indexer"] == "block-sparse" and record["sample"] == 1:
                record["prompt_sha256"] = "another prompt"
        return changed

    path = write(tmp_path / "run", lengths=(8192,), depths=(50.0,), samples=4, layers=0, change=change)
    made = difference_table(load_study([path]))
    assert made is not None
    rows = {row["indexer"]: row for row in made.data.to_dict("records") if row["length"] == 8192}
    assert (rows["hisa"]["n_pairs"], rows["hisa"]["n_better"], rows["hisa"]["n_worse"]) == (3, 1, 1)
    assert rows["hisa"]["difference"] == 0
    assert rows["block-sparse"]["n_pairs"] == 2


def test_no_baseline_no_difference(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(tmp_path / "run", indexers=("hisa", "block-sparse"), layers=0, samples=1)
    assert difference_table(load_study([path])) is None


def test_seconds_keep_shared_prefixes_apart(tmp_path: Path, write: Callable[..., Path]) -> None:
    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for record in records:
            shared = record["sample"] > 0
            record["seconds"] = {"prefill": 1.0 if shared else 5.0, "decode": 2.0, "build": None}
            record["n_reused_tokens"] = 100 if shared else 0
            record["n_generated"] = 8
        return records

    path = write(
        tmp_path / "run",
        indexers=("dsa",),
        lengths=(8192,),
        depths=(50.0,),
        samples=3,
        layers=0,
        change=change,
    )
    row = seconds_table(load_study([path])).data.iloc[0]
    assert (row["n_whole"], row["prefill_whole_seconds"]) == (1, 5.0)
    assert (row["n_shared"], row["prefill_shared_seconds"]) == (2, 1.0)
    assert row["decode_per_token_seconds"] == pytest.approx(0.25)
