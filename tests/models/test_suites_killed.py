"""RULER and LongBench on the real nano model: killed with -9 and resumed, the run is the undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.cli.main import main

ROOT = Path(__file__).parents[2]
INDEXERS = "dsa,hisa:block_size=32,num_blocks=16"
SMALL = ["--indexer", INDEXERS, "--topk", "256", "--device", "cpu", "--threads", "1"]
SMALL += ["--quiet", "--no-report"]
RULER = ["ruler", "--tasks", "niah_single_1,fwe", "--lengths", "1k", "--samples", "2"]
RULER += ["--max-new-tokens", "8"]
LONGBENCH = ["longbench", "--tasks", "samsum,passage_count", "--data", "data", "--partial"]


def started(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    paths = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "tasks")]
    return subprocess.Popen(
        [sys.executable, "-m", "hisa_eval", *arguments, *SMALL],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def records(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "samples.jsonl").read_text(encoding="utf-8")
    found = ({**json.loads(line), "seconds": None} for line in text.split("\n") if line)
    return sorted(found, key=lambda record: str(record["key"]))


def write_rows(folder: Path) -> None:
    folder.mkdir()
    for name in ("samsum", "passage_count"):
        rows = [
            {
                "_id": f"{name}-{place}",
                "input": "Who keeps the lamp?",
                "context": f"Lamp {place} is kept by Ada Stone.\r\n" * 40,
                "answers": ["7"],
                "all_classes": None,
                "length": 160,
            }
            for place in range(2)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("command", [RULER, LONGBENCH], ids=["ruler", "longbench"])
def test_killed_and_resumed_is_the_undisturbed_run(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "killed" / "samples.jsonl"
    with started(tmp_path, *command, "--out", "killed") as victim:
        deadline = time.monotonic() + 120
        while (not file.exists() or file.read_bytes().count(b"\n") < 2) and victim.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
    kept = file.read_bytes()
    assert 2 <= kept.count(b"\n") < 8
    for out in ("killed", "undisturbed"):
        assert main([*command, *SMALL, "--out", out]) == 0
    assert file.read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])
    found = records(tmp_path / "undisturbed")
    assert len(found) == 8
    assert {record["status"] for record in found} == {"ok"}
    assert records(tmp_path / "killed") == found
    if command is LONGBENCH:
        stopped = [record for record in found if record["task"] == "longbench/samsum"]
        assert all("\n" not in record["prediction"] for record in stopped)
        assert all(record["finish_reason"] in ("stop", "length") for record in found)
