"""`hisa-eval sweep` from end to end on the nano model, and wrong input."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.report.numbers import length_label, share

Command = Callable[..., Any]

SMALL = [
    *("--lengths", "600", "--depths", "random:1", "--rows", "6", "--budgets", "64", "--device", "cpu"),
    *("--block-size", "16,32", "--num-blocks", "2,6", "--ratio", "none"),
    *("--indexer", "hisa-overlap:block_size=16,num_blocks=8,block-sparse:block_size=16"),
]

CASES = [
    ("unknown option value", ["--pooling", "median"], "pooling=median"),
    ("no number", ["--budgets", "many"], "whole numbers"),
    ("nothing fits", ["--block-size", "4", "--num-blocks", "2", "--ratio", "none"], "no variant can fill"),
    ("empty piece", ["--block-size", "16,,32"], "empty piece"),
    ("steps without answers", ["--indexer", "hisa,step-reuse", "--no-accuracy"], "step-reuse acts while"),
    ("inputs without answers", ["--inputs", "foreign"], "add --no-accuracy"),
    ("no such inputs", ["--inputs", "missing", "--no-accuracy"], "missing does not exist"),
    ("foreign folder", ["--out", "foreign"], "not empty"),
]


@pytest.mark.parametrize(("arguments", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_bad_input_is_one_line(inside: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("do not lose me", encoding="utf-8")
    done = inside("sweep", "--device", "cpu", "--indexer", "dsa", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_a_sweep_resumes_and_names_its_fronts(inside: Command, tmp_path: Path) -> None:
    done = inside("sweep", *SMALL, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    found = {one["indexer"]: one for one in json.loads(done.stdout)["variants"]}
    # 2 blocks of 16 cannot fill k = 64; 2 of 32 can.
    assert set(found) == {
        *("dsa", "hisa-overlap:block_size=16,num_blocks=8", "block-sparse:block_size=16"),
        *("hisa:block_size=16,num_blocks=6", "hisa:block_size=32,num_blocks=2"),
        "hisa:block_size=32,num_blocks=6",
    }
    assert found["dsa"]["recall"] == found["dsa"]["cost"] == 1.0
    assert found["dsa"]["score"] is not None
    six = found["hisa:block_size=32,num_blocks=6"]
    tokens = 600 - 64  # the default answer room is kept free behind the prompt
    assert six["scored_keys"] <= -(-tokens // 32) + 6 * 32 + 20
    assert six["recall"] > found["hisa:block_size=32,num_blocks=2"]["recall"]
    fronts = [one for one in found.values() if one["front_recall"]]
    for one in fronts:
        assert not any(o["cost"] <= one["cost"] and o["recall"] > one["recall"] for o in found.values())
    for one in found.values():
        if not one["front_recall"]:
            assert any(o["cost"] <= one["cost"] and o["recall"] >= one["recall"] for o in fronts)
    assert (tmp_path / "run" / "figures" / "pareto-k64.png").is_file()
    assert "hisa:block_size=16,num_blocks=2 at k = 64" in (tmp_path / "run/tables/sweep.md").read_text(
        "utf-8"
    )

    page = html.unescape((tmp_path / "run" / "report.html").read_text("utf-8"))
    for name, one in found.items():
        assert f"{name}, {length_label(one['length'])}: {share(one['recall'], 3)}" in page
        assert f"cost {one['cost']:.3f} of flat DSA's" in page

    stores = sorted((tmp_path / "run").rglob("samples.jsonl"))
    assert len(stores) == 2
    kept = []
    for store in stores:
        lines = store.read_text("utf-8").splitlines(keepends=True)
        store.write_text("".join(lines[:-1]), "utf-8")
        kept.append(lines)
    done = inside("sweep", *SMALL, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert f"[{len(kept[1])}/{len(kept[1])}]" in done.stderr
    for store, lines in zip(stores, kept, strict=True):
        now = store.read_text("utf-8").splitlines(keepends=True)
        assert now[:-1] == lines[:-1]
        assert len(now) == len(lines)
    assert inside("report", "run").returncode == 0
    other = inside("sweep", *SMALL, "--rows", "7", "--out", "run")
    assert other.returncode == 2
    assert "holds another sweep" in other.stderr


def test_a_dry_run_counts_and_writes_nothing(inside: Command, tmp_path: Path) -> None:
    done = inside("sweep", *SMALL, "--lengths", "600,1200", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["variants"]["64"]) == 6
    assert [one["variant"] for one in found["left_out"]] == ["hisa:block_size=16,num_blocks=2 at k = 64"]
    compared = {one["length"]: one for one in found["lines"] if one["part"] == "compared"}
    asked = [one for one in found["lines"] if one["part"] == "asked"]
    assert {length: one["results"] for length, one in compared.items()} == {600: 6, 1200: 6}
    assert compared[1200]["tokens"] == 1200
    assert compared[1200]["seconds"] > compared[600]["seconds"] > 0
    assert len(asked) == found["cells"] == 12
    assert all(one["memory_bytes"] > 2**20 for one in asked)
    assert found["results"] == sum(one["results"] for one in found["lines"]) == 24
    assert found["seconds"] == pytest.approx(sum(one["seconds"] for one in found["lines"]), abs=0.05)
    done = inside("sweep", *SMALL, "--no-accuracy", "--dry-run")
    assert "0 cells, 6 results" in done.stdout
    assert "nothing was written" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_wrappers_take_part_and_those_over_steps_are_asked_alone(inside: Command, tmp_path: Path) -> None:
    layers, steps = "index-cache:every=2", "step-reuse:every=2,newest=32"
    run = [
        *("sweep", "--lengths", "4k", "--depths", "2", "--rows", "6", "--budgets", "256", "--device", "cpu"),
        *("--block-size", "32", "--num-blocks", "16", "--ratio", "none"),
        *("--indexer", f"dsa,{layers},{steps}", "--out", "run"),
    ]
    told = inside(*run, "--dry-run", "--json")
    assert told.returncode == 0, told.stderr
    forecast = json.loads(told.stdout)
    hisa = "hisa:block_size=32,num_blocks=16"
    assert forecast["variants"] == {"256": ["dsa", layers, steps, hisa]}
    results = {(one["part"], one["indexer"]): one["results"] for one in forecast["lines"]}
    asked = dict.fromkeys([("asked", label) for label in forecast["variants"]["256"]], 2)
    assert results == {("compared", ""): 2 * 3, **asked}
    assert list(tmp_path.iterdir()) == []

    done = inside(*run, "--json")
    assert done.returncode == 0, done.stderr
    found = {one["indexer"]: one for one in json.loads(done.stdout)["variants"]}
    assert set(found) == {"dsa", layers, steps, hisa}
    assert found[layers]["recall"] < found["dsa"]["recall"] == 1
    assert found[layers]["cost"] == pytest.approx(2 / 3)
    assert found[layers]["contexts"] == 2
    mine = found[steps]
    assert mine["cost"] == pytest.approx((4096 + 256 + 32) / 2 / 4096)
    for name in ("recall", "beyond", "kept", "contexts", "select_seconds"):
        assert mine[name] is None
    assert mine["n"] == 2
    assert 0 <= mine["score"] <= 1
    assert mine["front_recall"] is mine["front_kept"] is False
    cheaper = [one for one in found.values() if one is not mine and one["cost"] <= mine["cost"]]
    assert mine["front_score"] is all(one["score"] < mine["score"] for one in cheaper)

    table = (tmp_path / "run" / "tables" / "sweep.md").read_text("utf-8")
    (row,) = [line for line in table.splitlines() if f"| {steps} |" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4] == f"{mine['cost']:.3f}"
    assert cells[5:10] == ["–"] * 5
    assert cells[10].startswith(share(mine["score"], 3))
    assert f"Asked for needles alone, as they act while decoding: {steps}." in table
    page = html.unescape((tmp_path / "run" / "report.html").read_text("utf-8"))
    assert f"{steps}: not measured" in page
    assert f"{steps}, 4K: {share(mine['score'], 3)}" in page
    compared = (tmp_path / "run" / "k256" / "fidelity" / "samples.jsonl").read_text("utf-8")
    assert layers in compared
    assert steps not in compared
    assert inside(*run).returncode == 0
    assert inside("report", "run").returncode == 0


def test_recorded_inputs_are_swept(inside: Command, tmp_path: Path) -> None:
    grid = ["--lengths", "600,900", "--depths", "random:2", "--device", "cpu", "--indexer", "dsa"]
    done = inside("fidelity", *grid, "--rows", "12", "--no-attention", "--dump", "dumps/")
    assert done.returncode == 0, done.stderr
    small = [*SMALL[2:], "--indexer", "hisa-multi:block_size=16,num_blocks=8,index-cache:first=2"]
    sweep = ["sweep", *small, "--inputs", "dumps/", "--no-accuracy"]
    forecast = inside(*sweep, "--dry-run", "--json")
    assert forecast.returncode == 0, forecast.stderr
    done = inside(*sweep, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    found = {(one["indexer"], one["length"]): one for one in json.loads(done.stdout)["variants"]}
    assert {length for _, length in found} == {600, 900}
    for (label, _), one in found.items():
        assert one["contexts"] == 2
        assert one.get("score") is None
        assert one["recall"] == 1.0 if label == "dsa" else 0 < one["recall"] < 1
        assert one["cost"] > 0
    assert (tmp_path / "run" / "figures" / "pareto-k64.png").is_file()
