"""The command with the real nano model in it: killed and resumed, settings changed, figures complete."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["--lengths", "1k,1536", "--depths", "0,60", "--topk", "256", "--max-new-tokens", "16", "--quiet"]
INDEXERS = ["--indexer", "dsa,hisa:block_size=32,num_blocks=16,block-sparse:block_size=32"]
TIMES = re.compile("seconds")


def command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "hisa_eval", "niah", *SMALL, *INDEXERS, "--out", str(out), *more]


def environment() -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "tasks"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def run(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(out, *more), env=environment(), cwd=ROOT, capture_output=True, text=True, check=False
    )


def without_times(text: str) -> list[list[str]]:
    rows = list(csv.reader(text.splitlines()))
    kept = [column for column, name in enumerate(rows[0]) if not TIMES.search(name)]
    return [[row[column] for column in kept] for row in rows]


def finished(out: Path) -> int:
    file = out / "samples.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    done = run(out)
    assert done.returncode == 0, done.stderr
    return out


def test_killed_and_resumed_is_the_undisturbed_run(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    for stop_at in (2, 7):
        with subprocess.Popen(command(out), env=environment(), cwd=ROOT) as victim:
            deadline = time.monotonic() + 120
            while finished(out) < stop_at and victim.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            victim.send_signal(signal.SIGKILL)
        assert stop_at <= finished(out) < 12
    done = run(out)
    assert done.returncode == 0, done.stderr
    for folder, name in (("tables", "*"), ("figures", "*.png"), (".", "fidelity.csv")):
        files = sorted(path.name for path in (undisturbed / folder).glob(name))
        assert files
        for file in files:
            if "seconds" not in file:
                assert (out / folder / file).read_bytes() == (undisturbed / folder / file).read_bytes(), file
    mine, theirs = ((path / "summary.csv").read_text() for path in (out, undisturbed))
    assert without_times(mine) == without_times(theirs)


def test_selection_is_measured_and_exact_where_it_must_be(undisturbed: Path) -> None:
    records = [json.loads(line) for line in (undisturbed / "samples.jsonl").read_text().splitlines()]
    assert len(records) == 12
    for record in records:
        assert record["n_total_tokens"] == record["length"]
        assert len(record["selection"]["layers"]) == 3
        for layer in record["selection"]["layers"]:
            if record["indexer"] == "dsa":
                assert layer["all"]["iou_min"] == 1.0
            if record["indexer"].startswith("hisa"):
                assert layer["all"]["rows"] > layer["beyond"]["rows"] > 0
                exact = layer["all"]["rows"] - layer["beyond"]["rows"]
                apart = layer["all"]["iou_sum"] - layer["beyond"]["iou_sum"]
                assert apart == pytest.approx(exact, abs=1e-5)


def test_another_budget_is_another_run(undisturbed: Path) -> None:
    before = (undisturbed / "samples.jsonl").read_bytes()
    refused = run(undisturbed, "--topk", "128")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "topk" in refused.stderr
    assert (undisturbed / "samples.jsonl").read_bytes() == before
