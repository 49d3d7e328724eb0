"""`hisa-eval paper` from the command line: parts that resume, what it says, wrong input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

Command = Callable[..., Any]

TINY = """
import sys
import hisa_eval.paper.parts as parts
small = {"lengths": "600", "depths": "random:1"}
parts.QUICK = parts.Scale(
    niah={"lengths": "600,700", "depths": "2", "samples": 1},
    longbench={"samples": 1, "tasks": "label"},
    fidelity={**small, "rows": 4},
    sweep={**small, "rows": 4, "accuracy": False},
    attention="600",
    latency="4k",
)
from hisa_eval.cli.main import main
sys.exit(main(["paper", "--device", "cpu", "--threads", "1", "--out", "out", *sys.argv[1:]]))
"""


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(str(ROOT / part) for part in (".", "kernels", "tasks"))
    return subprocess.Popen(
        [sys.executable, "-c", TINY, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_parts_survive_kill_and_resume(tmp_path: Path) -> None:
    stored = tmp_path / "out" / "runs" / "niah" / "samples.jsonl"
    first = _start(tmp_path)
    deadline = time.monotonic() + 240
    while not (stored.is_file() and stored.read_bytes().count(b"\n") >= 2) and first.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    kept = stored.read_bytes().rpartition(b"\n")[0]
    measured = (tmp_path / "out/runs/latency/results.json").read_bytes()

    second = _start(tmp_path, "--json")
    out, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    assert stored.read_bytes().startswith(kept)
    assert (tmp_path / "out/runs/latency/results.json").read_bytes() == measured
    made = json.loads(out)
    assert {one["item"] for one in made["claims"]} == {"F2", "F3", "T1", "F5", "V1-4"}
    for one in made["claims"]:
        assert one["setting"] == "" or "not the paper's setting" in one["setting"]
    runs = tmp_path / "out" / "runs"
    assert {path.name for path in runs.iterdir()} == {
        *("attention.safetensors", "fidelity", "latency", "longbench", "niah", "sweep")
    }
    for name in ("fidelity", "latency", "longbench", "niah"):
        assert (runs / name / "manifest.json").is_file()


def test_finished_runs_are_sorted_without_writing(inside: Command, tmp_path: Path) -> None:
    reference = ROOT / "results" / "reference"
    names = ["h200-kernels", "niah-cpu", "mini-cpu"]
    paths = [reference / name for name in names]
    done = inside("paper", *paths, "--out", "out", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    kinds = [one["kind"] for one in json.loads(done.stdout)["runs"]]
    assert kinds == ["latency", "niah", "longbench"]
    assert not list(tmp_path.iterdir())


CASES = [
    ("no run", ["missing"], "no finished run"),
    ("foreign folder", ["--out", "foreign"], "not empty"),
    ("unknown device", ["--device", "tpu"], "unknown"),
]


@pytest.mark.parametrize(("arguments", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_bad_input_is_one_line(inside: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("do not lose me", encoding="utf-8")
    done = inside("paper", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]
