"""`hisa-eval show-prompt` of every suite: the prompt that a run sends, and its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

WHO = ["--model", "oracle", "--seed", "3"]
RUN = ["--device", "cpu", "--indexer", "dsa", "--out", "run", "--no-report"]
OFFICIAL = ["--data", "data", "--partial", "--tasks", "qasper"]
CUT = ["--truncate", "middle", "--max-prompt-tokens", "900"]


def write_rows(folder: Path) -> None:
    """A file in LongBench's schema with two rows."""
    folder.mkdir()
    rows = [
        {
            "_id": f"q{place}",
            "input": "Who keeps the lamp?",
            "context": f"{place}\u2028" + "The keeper is Ada Lovelace.\r\n" * 80,
            "answers": ["Ada Lovelace"],
            "all_classes": None,
            "length": 160,
        }
        for place in range(2)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "qasper.jsonl").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("suite", "look", "run"),
    [
        ("ruler", ["--tasks", "vt,cwe", "--length", "4k"], ["ruler", "--tasks", "vt", "--lengths", "4k"]),
        ("mini", ["--tasks", "label"], ["longbench", "--tasks", "label"]),
        ("longbench", ["--tasks", "call"], ["longbench", "--tasks", "call"]),
        ("longbench", OFFICIAL, ["longbench", *OFFICIAL]),
        ("longbench", [*OFFICIAL, *CUT], ["longbench", *OFFICIAL, *CUT]),
    ],
    ids=["ruler", "mini", "mini-by-default", "official-rows", "cut"],
)
def test_the_prompt_of_a_row_is_the_one_that_a_run_sends(
    oracle: Command, tmp_path: Path, suite: str, look: list[str], run: list[str]
) -> None:
    write_rows(tmp_path / "data")
    shown = [
        json.loads(oracle("show-prompt", suite, *WHO, *look, "--index", index, "--json").stdout)
        for index in (0, 1)
    ]
    text = oracle("show-prompt", suite, *WHO, *look, "--index", 1).stdout.removesuffix("\n")
    assert text == shown[1]["prompt"] != shown[0]["prompt"]
    samples = ["--samples", "2"] if suite == "ruler" else []
    assert oracle(*run, *WHO, *samples, *RUN).returncode == 0
    sent = [json.loads(line) for line in Path("run/samples.jsonl").read_text("utf-8").splitlines()]
    assert [line["prompt_sha256"] for line in sent[:2]] == [one["sha256"] for one in shown]
    assert [line["sample_id"] for line in sent[:2]] == [one["sample"] for one in shown]
    assert (shown[1].get("tokens cut", 0) > 0) == ("--truncate" in look)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rulr"], "unknown task 'rulr' – did you mean 'ruler'?"),
        (["mini", "--needle", "multikey"], "mini has no --needle – "),
        (["mini", "--suite", "v1"], "mini has no --suite – "),
        (["ruler", "--depth", "50"], "ruler has no --depth – "),
        (["longbench", "--length", "4k"], "longbench has no --length – "),
        (["--tasks", "vt"], "niah has no --tasks – "),
        (["mini", "--tasks", "label", "--index", "21"], "mini/label has no row 21 – count from 0 to 20"),
        (["ruler", "--tasks", "vt", "--length", "64"], "too short"),
        (["longbench", "--data", "nowhere"], "there is no data at nowhere"),
        (["mini", "--tasks", "label", "--max-prompt-tokens", "90"], "more than the 90 that fit"),
        (["ruler", "--model", "nanno"], "did you mean 'nano'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_has_no_meaning_is_one_line(inside: Command, arguments: list[str], words: str) -> None:
    done = inside("show-prompt", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
    assert words in done.stderr
