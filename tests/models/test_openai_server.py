"""Needle runs against a real server process on loopback, in good weather and in bad."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.cli.main import main
from hisa_eval.errors import UserError
from hisa_eval.models import registry
from hisa_eval.models.openai_server import client as client_module
from hisa_eval.models.openai_server.claim import parse_label

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("nano_server.py")
ASKED = ["--max-new-tokens", "16", "--no-report", "--quiet", "--tokenizer", "nano"]


class Server:
    """The server's process, which can be killed and started again on the same port."""

    def __init__(self, folder: Path, kind: str = "ids") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.faults = folder / "faults"
        self.kind = kind
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        paths = os.pathsep.join(str(ROOT / part) for part in (".", "kernels", "tasks"))
        path = os.pathsep.join(filter(None, [paths, os.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, str(PROGRAM), str(self.port), str(self.faults), self.kind]
        self.process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        )

    def wait(self) -> None:
        open_ = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        for _ in range(600):
            assert self.process.poll() is None
            try:
                with open_(self.address + "/models", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("the server did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hisa_eval.models.openai_server.model.FIRST_WAIT", 0.1)
    monkeypatch.setattr(client_module, "LONGEST_WAIT", 0.4)


def run(server: Server, out: Path, *more: str) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    code = main(["niah", "--model", server.address, *ASKED, "--out", str(out), *more])
    lines = (out / "samples.jsonl").read_text().splitlines()
    latest = {record["key"]: record for record in map(json.loads, lines)}
    return code, list(latest.values()), json.loads((out / "manifest.json").read_text())


def test_a_whole_run_equals_the_model_asked_directly(server: Server, tmp_path: Path) -> None:
    grid = ["--lengths", "1k,1536", "--depths", "2"]
    server.faults.write_text("429 malformed wrong-form 500")
    labels = ["--label", "indexer=hisa", "--concurrency", "3"]
    code, records, manifest = run(server, tmp_path / "served", *grid, *labels)
    assert code == 0
    assert not server.faults.read_text()
    assert len(records) == 4
    assert {record["indexer"] for record in records} == {"claimed-hisa"}
    model = manifest["model"]
    assert (model["claimed_indexer"], model["server_version"], model["prompts"]) == (
        "hisa",
        "nano-1",
        "token ids",
    )
    assert model["served"] == {"id": "nano", "max_model_len": 3000}
    direct = ["--model", "nano", "--topk", "512", "--indexer", "hisa:block_size=32,num_blocks=32"]
    options = [*ASKED[:4], *grid, *direct, "--out", str(tmp_path / "direct")]
    assert main(["niah", *options]) == 0
    lines = (tmp_path / "direct" / "samples.jsonl").read_text().splitlines()
    wanted = {record["sample_id"]: record for record in map(json.loads, lines)}
    for record in records:
        same = wanted[record["sample_id"]]
        assert (record["prediction"], record["score"]) == (same["prediction"], same["score"])
        assert record["n_prompt_tokens"] == same["n_prompt_tokens"]
        assert record["finish_reason"] == same["finish_reason"]
    assert sum(record["score"] for record in records) > 0


def test_killed_in_the_middle_restarted_and_resumed(server: Server, tmp_path: Path) -> None:
    grid = ["--lengths", "1k", "--depths", "3"]
    server.faults.write_text("500 500 die")
    code, records, _ = run(server, tmp_path / "out", *grid)
    assert code == 1
    status = Counter(record["status"] for record in records)
    assert len(records) == 3
    assert status["failed"] == 3
    assert all("no connection" in record["reason"] for record in records)
    assert all(record["score"] is None for record in records)
    server.start()
    server.wait()
    code, records, _ = run(server, tmp_path / "out", *grid)
    assert code == 0
    assert Counter(record["status"] for record in records) == {"ok": 3}


def test_a_restart_within_the_waits_is_survived(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hisa_eval.models.openai_server.client.ATTEMPTS", 100)
    attempts = client_module.Client._attempt

    def restarting(self: Any, *inputs: Any) -> Any:
        if server.process.poll() is not None:
            server.start()
        return attempts(self, *inputs)

    monkeypatch.setattr(client_module.Client, "_attempt", restarting)
    server.faults.write_text("500 die")
    code, records, _ = run(server, tmp_path / "out", "--lengths", "1k", "--depths", "3")
    assert code == 0
    assert [record["status"] for record in records] == ["ok"] * 3


def test_too_long_is_a_failed_cell_and_the_rest_goes_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = ["--lengths", "1k,4k,5k", "--depths", "2"]
    code, records, _ = run(server, tmp_path / "known", *grid)
    assert code == 1
    assert Counter((r["length"], r["status"]) for r in records) == {
        (1024, "ok"): 2,
        (4096, "failed"): 2,
        (5120, "failed"): 2,
    }
    assert "exceed the server's context of 3000" in records[2]["reason"]
    # A server that does not say how much it takes refuses the prompt itself.
    real = client_module.Client.get

    def without_length(self: Any, route: str, **more: Any) -> Any:
        found = real(self, route, **more)
        for entry in found.get("data", []):
            entry.pop("max_model_len")
        return found

    monkeypatch.setattr(client_module.Client, "get", without_length)
    code, records, _ = run(server, tmp_path / "unknown", *grid)
    assert code == 1
    assert "the server refuses the length: HTTP 400" in records[2]["reason"]
    assert records[4]["reason"].startswith("not tried, as 4k failed")


def test_a_server_that_takes_text_alone(tmp_path: Path) -> None:
    server = Server(tmp_path, "text")
    try:
        server.wait()
        code, records, manifest = run(server, tmp_path / "out", "--lengths", "1k", "--depths", "1")
    finally:
        server.stop()
    assert code == 0
    assert manifest["model"]["prompts"] == "text"
    assert records[0]["indexer"] == "unattested"
    assert records[0]["n_prompt_tokens"] == 1024 - 16


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "run")]
    nobody = "http://127.0.0.1:9/v1"
    assert main(["niah", "--model", nobody, "--tokenizer", "nano", *out]) == 2
    assert "no OpenAI-compatible server lists its models" in capsys.readouterr().err
    assert main(["niah", "--label", "indexer=hisa", *out]) == 2
    assert "are for servers" in capsys.readouterr().err
    with pytest.raises(UserError, match="needs its model's tokenizer"):
        registry.tokenizer(nobody)
    with pytest.raises(UserError, match="is not indexer=NAME"):
        parse_label("hisa")
    with pytest.raises(RuntimeError, match="runs on the server"):
        parse_label("indexer=hisa").select()
    assert not (tmp_path / "run").exists()
