"""`hisa-eval ruler`: its errors, its records, resuming, and the real nano model."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Command = Callable[..., Any]

GRID = ["ruler", "--model", "oracle", "--device", "cpu", "--tasks", "vt,niah_single_1", "--lengths", "4k,8k"]
N_SAMPLES = 2 * 2 * 3


def lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run without what the clock decides."""
    text = (folder / "samples.jsonl").read_text(encoding="utf-8")
    found = [{**json.loads(line), "seconds": None} for line in text.splitlines()]
    return sorted(found, key=lambda line: str(line["key"]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tasks", "vtt"], "did you mean 'vt'"),
        (["--tasks", ","], "no RULER task is named"),
        (["--tasks", "qa_1"], "dev-v2.0.json"),
        (["--data", "nowhere"], "nowhere"),
        (["--tasks", "vt", "--lengths", "64"], "too short"),
        (["--haystack", "./nowhere"], "nowhere"),
        (["--samples", "0"], "--samples 0"),
        (["--indexer", "hisaa"], "did you mean 'hisa'"),
        (["--config", "run.yaml"], "unknown setting 'needle'"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line(oracle: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "run.yaml").write_text("needle: multikey\n", encoding="utf-8")
    done = oracle("ruler", "--quiet", "--model", "oracle", "--device", "cpu", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_a_run_leaves_a_record_per_task_length_and_indexer(oracle: Command, tmp_path: Path) -> None:
    done = oracle(*GRID, "--out", "run")
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "run")
    assert len(found) == N_SAMPLES
    places = {(line["task"], line["length"], line["indexer"]) for line in found}
    assert len(places) == N_SAMPLES
    assert {line["task"] for line in found} == {"ruler/vt", "ruler/niah_single_1"}
    for line in found:
        assert line["n_total_tokens"] == line["length"]
        assert line["depth"] is None
        assert line["sample_id"] == f"{line['task']}/{line['length']}/s0"
    for first in found:
        twins = [line for line in found if line["sample_id"] == first["sample_id"]]
        assert len({line["prompt_sha256"] for line in twins}) == 1
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["tasks"] == ["niah_single_1", "vt"]
    assert manifest["settings"]["n_planned"] == N_SAMPLES
    assert set(manifest["task_data"]["tasks"]) == {"ruler/vt", "ruler/niah_single_1"}
    assert "| vt " in done.stdout
    assert "wAvg (inc)" in done.stdout
    assert "ruler/vt hisa: score" in done.stderr


def test_without_names_every_task_that_has_its_data_is_asked_and_the_others_are_named(
    oracle: Command, tmp_path: Path
) -> None:
    arguments = ["ruler", "--model", "oracle", "--device", "cpu", "--lengths", "4k"]
    done = oracle(*arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "33 cells, 33 samples" in done.stdout
    assert [line.split(" is left out: ")[0] for line in done.stderr.splitlines()] == [
        "task qa_1",
        "task qa_2",
    ]
    quiet = json.loads(oracle(*arguments, "--dry-run", "--json").stdout)
    assert quiet["samples"] == 33
    assert len(quiet["notes"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_one_file_of_questions_leaves_the_other_out(oracle: Command, tmp_path: Path) -> None:
    answer = {"text": "Ada", "answer_start": 0}
    asked = {"question": "Who keeps the lamp?", "answers": [answer], "is_impossible": False}
    paragraphs = [{"context": f"Ada keeps lamp {n}.", "qas": [asked]} for n in range(60)]
    (tmp_path / "dev-v2.0.json").write_text(
        json.dumps({"data": [{"title": "Lamps", "paragraphs": paragraphs}]}), encoding="utf-8"
    )
    arguments = ["ruler", "--model", "oracle", "--device", "cpu", "--lengths", "4k", "--data", "."]
    forecast = json.loads(oracle(*arguments, "--dry-run", "--json").stdout)
    assert forecast["samples"] == 12 * 3
    (note,) = forecast["notes"]
    assert note.startswith("task qa_2 is left out")


def test_a_file_with_one_question_can_be_forecast(oracle: Command, tmp_path: Path) -> None:
    asked = {"question": "Who keeps the lamp?", "answers": [{"text": "Ada", "answer_start": 0}]}
    paragraphs = [{"context": "Ada keeps it.", "qas": [asked]}]
    (tmp_path / "dev-v2.0.json").write_text(
        json.dumps({"data": [{"title": "Lamps", "paragraphs": paragraphs}]}), encoding="utf-8"
    )
    arguments = ["ruler", "--model", "oracle", "--device", "cpu", "--tasks", "qa_1", "--lengths", "4k"]
    done = oracle(*arguments, "--data", ".", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["samples"] == 3


def test_killed_and_resumed_equals_undisturbed(
    oracle: Command, background: Callable[..., Any], tmp_path: Path
) -> None:
    victim = background(*GRID, "--out", "run", "--no-report", ORACLE_SLEEP="0.2")
    file = tmp_path / "run" / "samples.jsonl"
    deadline = time.monotonic() + 120
    while not file.exists() or file.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    victim.kill()
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    kept = len(lines(tmp_path / "run"))
    assert 3 <= kept < N_SAMPLES
    done = oracle(*GRID, "--out", "run", "--no-report")
    assert done.returncode == 0, done.stderr
    assert f"{kept} finished" in done.stderr
    assert oracle(*GRID, "--out", "undisturbed", "--no-report").returncode == 0
    assert lines(tmp_path / "run") == lines(tmp_path / "undisturbed")
    refused = oracle(*GRID, "--out", "run", "--samples", "2")
    assert refused.returncode == 2
    assert "holds another run" in refused.stderr


def test_out_of_memory_gives_up_longer_contexts_of_every_task(oracle: Command, tmp_path: Path) -> None:
    done = oracle(*GRID, "--out", "run", "--no-report", ORACLE_FAIL="hisa@8192")
    assert done.returncode == 1
    failed = [line for line in lines(tmp_path / "run") if line["status"] == "failed"]
    assert {(line["indexer"], line["length"]) for line in failed} == {("hisa", 8192)}
    assert {line["task"] for line in failed} == {"ruler/vt", "ruler/niah_single_1"}
    assert "failed (1)" in done.stdout
    assert oracle(*GRID, "--out", "run", "--no-report").returncode == 0


def test_settings_are_shown_in_the_order_of_the_help_page(inside: Command) -> None:
    shown = json.loads(inside("ruler", "--tasks", "vt", "--show-config", "--json").stdout)
    assert list(shown)[:3] == ["lengths", "tasks", "samples"]
    assert shown["tasks"] == {"value": "vt", "source": "flag"}


def test_the_prompt_shown_is_the_one_that_a_run_sends(oracle: Command, tmp_path: Path) -> None:
    where = ["--model", "oracle", "--seed", "3"]
    shown = ["show-prompt", *where, "--task", "ruler/vt", "--length", "4k", "--json"]
    facts = json.loads(oracle(*shown).stdout)
    assert facts["length"] == 4096
    run = ["ruler", *where, "--tasks", "vt", "--lengths", "4k", "--indexer", "dsa", "--device", "cpu"]
    assert oracle(*run, "--no-report", "--out", "run").returncode == 0
    (line,) = lines(tmp_path / "run")
    assert (line["prompt_sha256"], line["sample_id"]) == (facts["sha256"], facts["sample"])
    assert "name one of them" in oracle("show-prompt", *where, "--task", "ruler/niah").stderr


def test_the_nano_model_answers(inside: Command, tmp_path: Path, driver: ModuleType) -> None:
    done = inside(
        *("ruler", "--tasks", "niah_single_1,vt,fwe", "--lengths", "4k", "--max-new-tokens", "12"),
        *("--indexer", "dsa,hisa:block_size=32,num_blocks=16", "--topk", "256", "--device", "cpu"),
        *("--out", "run", "--no-report", "--quiet", "--threads", "1"),
    )
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "run")
    assert len(found) == 6
    for line in found:
        assert line["status"] == "ok"
        assert line["n_total_tokens"] == 4096
        assert len(line["selection"]["layers"]) == 3
        assert 0 < line["n_generated"] <= 12
        assert line["finish_reason"] == ("length" if line["n_generated"] == 12 else "stop")
    *rows, totals = map(json.loads, inside("score", "run", "--json").stdout.splitlines())
    assert {row["task"] for row in rows} == {"ruler/niah_single_1", "ruler/vt", "ruler/fwe"}
    assert (totals["n"], totals["n_changed"]) == (6, 0)
