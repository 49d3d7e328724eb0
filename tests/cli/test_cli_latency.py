"""`hisa-eval latency` on a machine without a GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

TINY = [
    *("--device", "cpu", "--lengths", "512,1k", "--queries", "8", "--heads", "2", "--dim", "16"),
    *("--topk", "64", "--block-size", "32", "--num-blocks", "4"),
]

CASES = [
    ("malformed length", ["--lengths", "8q"], "'8q' is not a length"),
    ("unknown device", ["--device", "tpu"], "--device 'tpu'"),
    ("unknown dtype", ["--dtype", "fp4"], "--dtype 'fp4'"),
    ("budget that cannot be filled", ["--num-blocks", "4"], "hold fewer tokens"),
    ("ratio below one", ["--ratio", "0.5"], "--ratio 0.5"),
    ("more queries than keys", ["--lengths", "4k", "--queries", "5000"], "--queries 5000"),
    ("inputs that are missing", ["--inputs", "none.safetensors"], "does not exist"),
    ("folder that is not empty", ["--out", "foreign"], "not empty"),
    ("folder that is a file", ["--out", "foreign/thesis.txt"], "is a file"),
    ("nothing to draw", ["--from", "foreign"], "no finished measurement"),
    ("unknown model", ["--dump-inputs", "x.safetensors", "--model", "nanno"], "unknown model 'nanno'"),
    ("unknown layer", ["--dump-inputs", "x.safetensors", "--layer", "7"], "--layer 7"),
]


@pytest.mark.parametrize(("arguments", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_bad_input_is_one_line(inside: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("do not lose me", encoding="utf-8")
    given = [] if "--device" in arguments else ["--device", "cpu"]
    done = inside("latency", *given, *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert " – " in done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_cuda_without_a_gpu(hisa: Command, tmp_path: Path) -> None:
    done = hisa("latency", "--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --device cuda: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_cpu_times_the_reference_and_says_so(inside: Command, tmp_path: Path) -> None:
    done = inside("latency", *TINY, "--out", "run", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in ("| reference flat |", "| reference HISA |", "| 4:1", "Timed on a CPU", "results: run"):
        assert words in done.stdout
    again = inside("latency", "--from", "run", "--quiet")
    assert again.stdout == done.stdout
    figures = {path.suffix for path in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {".png", ".pdf"}
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["command"] == "latency"
    assert manifest["settings"]["lengths"] == [512, 1024]
    assert manifest["versions"]["torch"]


def test_json_and_a_folder_of_its_own(inside: Command) -> None:
    done = inside("latency", *TINY, "--json", "--ratio", "0")
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert found["dir"].startswith("results/latency-")
    assert {record["case"]["mode"] for record in found["results"]} == {"flat", "m = 4"}
    assert all(record["status"] == "ok" for record in found["results"])


def test_a_models_own_inputs_are_dumped_and_timed(inside: Command) -> None:
    dump = ["--dump-inputs", "own.safetensors", "--lengths", "1k", "--queries", "32", "--layer", "1"]
    written = json.loads(inside("latency", "--device", "cpu", *dump, "--json").stdout)
    assert (written["tokens"], written["queries"], written["layer"]) == (1024, 32, 1)
    shape = ["--heads", "8", "--dim", "64", "--topk", "64", "--block-size", "32", "--num-blocks", "4"]
    timed = ["--device", "cpu", "--inputs", "own.safetensors", "--lengths", "512,1k", "--queries", "16"]
    found = json.loads(inside("latency", *timed, *shape, "--json").stdout)
    assert {record["case"]["inputs"] for record in found["results"]} == {"own"}
    assert all(record["status"] == "ok" for record in found["results"])
    done = inside("latency", *timed, "--lengths", "2k")
    assert done.returncode == 2
    assert "fewer than" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_help_page_has_examples_and_defaults(inside: Command) -> None:
    done = inside("latency", "--help")
    assert done.returncode == 0
    assert "hisa-eval latency --inputs" in done.stdout.partition("Examples")[2]
    assert "8k..128k" in done.stdout
