"""`hisa-eval latency --end-to-end` on a machine without a GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

TINY = [
    *("latency", "--end-to-end", "--device", "cpu", "--lengths", "512", "--repetitions", "1"),
    *("--max-new-tokens", "3", "--topk", "128", "--indexer", "hisa:block_size=16,num_blocks=32"),
]

CASES = [
    ("malformed length", ["--end-to-end", "--lengths", "8q"], "'8q' is not a length"),
    ("unknown indexer", ["--end-to-end", "--indexer", "hissa"], "hissa"),
    ("unknown model", ["--end-to-end", "--model", "nanno"], "unknown model 'nanno'"),
    ("dtype of keys", ["--end-to-end", "--dtype", "fp8"], "--dtype 'fp8'"),
    ("shape of a selection", ["--end-to-end", "--heads", "8"], "--heads is of a selection"),
    ("option of whole answers", ["--indexer", "hisa"], "--indexer is for whole answers"),
    ("repetitions of a selection", ["--repetitions", "3"], "add --end-to-end"),
    ("folder that is not empty", ["--end-to-end", "--out", "foreign"], "not empty"),
    ("one token only", ["--end-to-end", "--max-new-tokens", "1"], "--max-new-tokens"),
]


@pytest.mark.parametrize(("arguments", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_bad_input_is_one_line(inside: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("do not lose me", encoding="utf-8")
    done = inside("latency", "--device", "cpu", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert " – " in done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_measured_redrawn_and_reported(inside: Command, tmp_path: Path) -> None:
    done = inside(*TINY, "--out", "run", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "warming up" not in done.stderr
    for words in ("3/3 held", "| transformers", "Break-even with dsa", "none within", "results: run"):
        assert words in done.stdout
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*") if path.is_file()}
    assert inside("latency", "--from", "run").stdout == done.stdout
    assert inside("report", "run").stdout == done.stdout
    assert {path: path.read_bytes() for path in before} == before
    kept = (tmp_path / "run" / "samples.jsonl").read_bytes()
    again = inside(*TINY, "--out", "run", "--json")
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == kept
    found = json.loads(again.stdout)
    assert {row["indexer"]: row["tokens_as_dsa"] for row in found["end_to_end"]}["dsa"] == 3
    assert found["break_even"][0]["break_even_tokens"] is None
    other = inside(*TINY, "--seed", "1", "--out", "run")
    assert other.returncode == 2
    assert "holds another run: seed" in other.stderr


def test_settings_say_where_they_came_from(inside: Command, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("repetitions: 7\ntopk: 64\n", encoding="utf-8")
    done = inside(
        "latency", "--end-to-end", "--config", "own.yaml", "--dtype", "bf16", "--show-config", "--json"
    )
    found = json.loads(done.stdout)
    assert found["repetitions"] == {"value": 7, "source": "file own.yaml"}
    assert found["topk"] == {"value": 64, "source": "file own.yaml"}
    assert found["dtype"] == {"value": "bf16", "source": "flag"}
    assert found["lengths"] == {"value": None, "source": "default"}
    text = inside("latency", "--end-to-end", "--show-config")
    assert text.returncode == 0, text.stderr
