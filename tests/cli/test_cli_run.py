"""A whole run from the command line: what it prints, what it writes, how it resumes."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

GRID = [
    "niah",
    "--model",
    "oracle",
    "--device",
    "cpu",
    "--lengths",
    "4k,8k",
    "--depths",
    "3",
    "--samples",
    "2",
]
N_SAMPLES = 2 * 3 * 2 * 3

Command = Callable[..., Any]
Background = Callable[..., "subprocess.Popen[str]"]


def records(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run without what the clock decides."""
    lines = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    return sorted(({**line, "seconds": None} for line in lines), key=lambda line: str(line["key"]))


def timeless(folder: Path) -> dict[str, str]:
    """Tables and summary of a run as text, times left out."""
    texts = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted((folder / "tables").iterdir())
        if not path.name.startswith("seconds")
    }
    summary = pd.read_csv(folder / "summary.csv")
    texts["summary.csv"] = summary[[name for name in summary if "seconds" not in name]].to_csv()
    return texts


def wait_for_samples(folder: Path, least: int) -> None:
    """Until a run has written some of its samples."""
    file = folder / "samples.jsonl"
    deadline = time.monotonic() + 120
    while not file.exists() or file.read_bytes().count(b"\n") < least:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.02)


def test_a_run_leaves_the_files_that_are_promised(oracle: Command, tmp_path: Path) -> None:
    done = oracle(*GRID, "--out", "run")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    for name in ("manifest.json", "samples.jsonl", "summary.csv", "summary.parquet", "report.html"):
        assert (run / name).stat().st_size > 0
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["command"] == "niah"
    assert manifest["settings"]["lengths"] == [4096, 8192]
    assert manifest["model"]["checkpoint"] == "r1"
    assert [one["label"] for one in manifest["indexers"]] == ["dsa", "hisa", "block-sparse"]
    assert len(records(run)) == N_SAMPLES

    assert "\x1b" not in done.stdout + done.stderr
    assert "| length" in done.stdout
    assert "n=6" in done.stdout
    assert "report: run/report.html" in done.stdout
    lines = done.stderr.splitlines()
    assert lines[0] == "loading oracle on cpu ..."
    assert sum(line.startswith("[") for line in lines) == 18
    assert lines[-1].endswith("hisa-eval report run")


def test_a_finished_run_is_reused_and_says_the_same(oracle: Command, tmp_path: Path) -> None:
    first = oracle(*GRID, "--out", "run", "--json", "--no-report")
    again = oracle(*GRID, "--out", "run", "--json", "--no-report")
    assert first.returncode == again.returncode == 0
    assert first.stderr == again.stderr == ""
    one, two = json.loads(first.stdout), json.loads(again.stdout)
    assert one["samples"] == {"total": N_SAMPLES, "reused": 0, "failed": 0}
    assert two["samples"] == {"total": N_SAMPLES, "reused": N_SAMPLES, "failed": 0}
    assert one["accuracy"] == two["accuracy"]
    by_place = {(row["length"], row["indexer"]): row for row in one["accuracy"]}
    assert by_place[4096, "hisa"]["score"] == 1.0
    assert by_place[8192, "hisa"]["score"] == pytest.approx(4 / 6, abs=1e-5)
    assert by_place[8192, "hisa"]["n"] == 6


def test_killed_and_resumed_equals_undisturbed(
    oracle: Command, background: Background, tmp_path: Path
) -> None:
    victim = background(*GRID, "--out", "run", ORACLE_SLEEP="0.1")
    wait_for_samples(tmp_path / "run", 5)
    victim.kill()
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    kept = len(records(tmp_path / "run"))
    assert 5 <= kept < N_SAMPLES
    with (tmp_path / "run" / "samples.jsonl").open("ab") as file:
        file.write(b'{"key": "cut o')
    done = oracle(*GRID, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "was cut off" in done.stderr
    assert f"{kept} finished" in done.stderr
    assert oracle(*GRID, "--out", "undisturbed").returncode == 0
    assert records(tmp_path / "run") == records(tmp_path / "undisturbed")
    assert timeless(tmp_path / "run") == timeless(tmp_path / "undisturbed")


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(
    oracle: Command, background: Background, tmp_path: Path
) -> None:
    arguments = [*GRID, "--quiet", "--no-report"]
    victim = background(*arguments, ORACLE_SLEEP="0.1")
    deadline = time.monotonic() + 120
    while not (found := list(tmp_path.glob("results/niah-*"))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    wait_for_samples(found[0], 3)
    victim.send_signal(signal.SIGINT)
    _, err = victim.communicate(timeout=60)
    assert victim.returncode == 130
    assert "the same command resumes" in err
    assert "Traceback" not in err
    assert oracle(*arguments).returncode == 0
    assert list(tmp_path.glob("results/niah-*")) == found
    assert len(records(found[0])) == N_SAMPLES


def test_without_a_folder_only_an_unfinished_run_of_the_same_settings_is_taken_up(
    oracle: Command, tmp_path: Path
) -> None:
    arguments = [*GRID, "--quiet", "--no-report"]
    for given in (arguments, arguments, [*arguments, "--seed", "1"]):
        assert oracle(*given).returncode == 0
    folders = sorted(tmp_path.glob("results/niah-*"))
    assert len(folders) == 3
    first = next(folder for folder in folders if '"seed": 0' in (folder / "manifest.json").read_text())
    file = first / "samples.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-2]))
    assert f"would resume results/{first.name};" in oracle(*arguments, "--dry-run").stdout
    assert "would write to results/" in oracle(*arguments, "--no-resume", "--dry-run").stdout
    assert oracle(*arguments).returncode == 0
    assert sorted(tmp_path.glob("results/niah-*")) == folders
    assert len(records(first)) == N_SAMPLES


def test_a_report_can_wait(oracle: Command, tmp_path: Path) -> None:
    done = oracle(*GRID, "--lengths", "4k", "--samples", "1", "--out", "run", "--no-report", "--quiet")
    assert done.stdout.splitlines()[-1] == "run: run"
    assert not (tmp_path / "run" / "report.html").exists()
    done = oracle("report", "run", "--json")
    assert json.loads(done.stdout)["reports"] == ["run/report.html"]
    assert done.stderr == ""
    assert (tmp_path / "run" / "report.html").exists()


def test_failed_samples_are_said_counted_and_tried_again(oracle: Command, tmp_path: Path) -> None:
    arguments = [*GRID, "--out", "run", "--no-report"]
    done = oracle(*arguments, ORACLE_FAIL="hisa@8192")
    assert done.returncode == 1
    assert "6 of 36 samples failed: out of memory at 8192 tokens" in done.stderr
    assert "failed (6)" in done.stdout
    assert oracle(*arguments, "--allow-failures", ORACLE_FAIL="hisa@8192").returncode == 0
    done = oracle(*arguments, "--quiet")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "failed" not in done.stdout


def test_a_dry_run_forecasts_and_writes_nothing(oracle: Command, tmp_path: Path) -> None:
    done = oracle(*GRID, "--dry-run", "--json")
    assert done.returncode == 0
    forecast = json.loads(done.stdout)
    assert forecast["cells"] == 18
    assert forecast["samples"] == N_SAMPLES
    assert sum(line["samples"] for line in forecast["lines"]) == N_SAMPLES
    assert all(line["memory_bytes"] == 1024 * line["length"] for line in forecast["lines"])
    assert forecast["seconds"] == pytest.approx(sum(line["seconds"] for line in forecast["lines"]), abs=0.05)
    done = oracle(*GRID, "--dry-run")
    assert "18 cells, 36 samples" in done.stdout
    assert "nothing was written" in done.stdout
    assert list(tmp_path.iterdir()) == []
