"""`hisa-eval fidelity` from end to end: synthetic inputs, the nano model, files, resume and wrong input."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hisa_eval.report.numbers import length_label, share

Command = Callable[..., Any]

SMALL = [
    *("--lengths", "512,1k", "--samples", "3", "--rows", "6", "--heads", "2", "--dim", "16", "--topk", "64"),
    *("--indexer", "hisa:block_size=32,num_blocks=8,block-sparse:block_size=32"),
]
NANO = [
    *("--lengths", "1k", "--depths", "0,100", "--rows", "4", "--topk", "128"),
    *("--indexer", "hisa:block_size=32,num_blocks=8", "--precisions", "bf16"),
]

CASES = [
    ("two kinds of inputs", ["--inputs", "a", "--synthetic", "gaussian"], "both given"),
    ("unknown distribution", ["--synthetic", "gausian"], "unknown distribution 'gausian'"),
    ("missing file", ["--inputs", "none.safetensors"], "does not exist"),
    ("unknown precision", ["--precisions", "fp4"], "fp4"),
    ("no rows", ["--rows", "0"], "--rows 0"),
    ("steps", ["--indexer", "hisa,step-reuse"], "step-reuse acts while decoding"),
    ("a runner over steps", ["--run-with", "step-reuse"], "hisa-eval niah, or hisa-eval sweep"),
    ("a runner over layers", ["--run-with", "index-cache"], "attends to what another one selected"),
    ("unknown indexer", ["--indexer", "hsia"], "did you mean 'hisa'"),
    ("budget that cannot be filled", ["--indexer", "hisa:num_blocks=2"], "cannot fill k"),
    ("unknown runner", ["--run-with", "hsia"], "did you mean 'hisa'"),
    ("two runners", ["--run-with", "hisa,dsa"], "hisa,dsa"),
    ("runner that cannot fill the budget", ["--run-with", "hisa:num_blocks=2"], "cannot fill k"),
    ("runner without a model", ["--synthetic", "local", "--run-with", "hisa"], "no model runs"),
    ("length too short", ["--lengths", "64"], "too short"),
    ("foreign folder", ["--synthetic", "local", "--out", "foreign"], "not empty"),
]


@pytest.mark.parametrize(("arguments", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_bad_input_is_one_line(inside: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("do not lose me", encoding="utf-8")
    done = inside("fidelity", "--device", "cpu", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_synthetic_inputs_leave_a_run_that_resumes_and_is_drawn_again(
    inside: Command, tmp_path: Path
) -> None:
    run = ["fidelity", "--synthetic", "gaussian,spikes", *SMALL, "--out", "run"]
    done = inside(*run, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["contexts"] == {"total": 12, "results": 36, "reused": 0, "failed": 0}
    assert {one["inputs"] for one in found["agreement"]} == {"synthetic/gaussian", "synthetic/spikes"}
    flat = [one for one in found["agreement"] if one["indexer"] == "dsa" and one["metric"] == "recall"]
    assert flat
    assert {one["mean"] for one in flat} == {1.0}
    beyond = [one for one in found["agreement"] if one["scope"] == "beyond" and one["metric"] == "iou"]
    assert beyond
    assert all(0 <= one["low"] <= one["mean"] <= one["high"] <= 1 > one["mean"] for one in beyond)
    files = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {"manifest.json", "samples.jsonl", "rows.csv", "agreement.tex", "needles.md"} <= files
    assert {"iou-by-layer-synthetic-gaussian.png", "iou-by-length-synthetic-spikes.pdf"} <= files
    assert {"recall-by-distance-synthetic-spikes.png", "block-ranks-synthetic-spikes.png"} <= files
    assert "block-ranks-synthetic-gaussian.png" not in files

    page = html.unescape((tmp_path / "run" / "report.html").read_text("utf-8"))
    by_layer = pd.read_csv(tmp_path / "run" / "tables" / "agreement-by-layer.csv")
    pooled = by_layer[(by_layer["metric"] == "iou") & (by_layer["indexer"] != "dsa")]
    assert len(pooled)
    for row in pooled.to_dict("records"):
        place = f"{row['indexer']}, {length_label(row['length'])}, layer {row['layer']}"
        assert f"{place}: IoU {share(row['mean'], 3)} [" in page

    lines = (tmp_path / "run" / "samples.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "run" / "samples.jsonl").write_text("".join(lines[:20]) + lines[20][:50], "utf-8")
    before = (tmp_path / "run" / "tables" / "agreement.csv").read_text("utf-8")
    again = json.loads(inside(*run, "--json").stdout)
    assert again["contexts"]["reused"] == 20
    assert (tmp_path / "run" / "tables" / "agreement.csv").read_text("utf-8") == before

    (tmp_path / "run" / "tables" / "agreement.csv").unlink()
    assert inside("report", "run").returncode == 0
    assert (tmp_path / "run" / "tables" / "agreement.csv").read_text("utf-8") == before
    compared = inside("compare", "run@dsa", "run@hisa:block_size=32,num_blocks=8")
    assert compared.returncode == 0, compared.stderr

    other = inside(*run, "--seed", "1")
    assert other.returncode == 2
    assert "run holds another run" in other.stderr


def test_the_nano_model_and_a_file_of_its_inputs_agree(inside: Command, tmp_path: Path) -> None:
    done = inside("fidelity", *NANO, "--out", "run", "--json", "--no-report")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {one["length"] for one in found["needles"]} == {1024}
    shares = [one["mean"] for one in found["agreement"] if one["metric"] == "attention"]
    assert shares
    assert all(0 < one <= 1 for one in shares)
    written = inside("fidelity", *NANO, "--dump", "x.safetensors", "--json")
    assert json.loads(written.stdout)["layers"] == 3
    read = inside(
        *("fidelity", "--inputs", "x.safetensors", "--out", "file", "--json", "--no-report"),
        *("--topk", "128", "--indexer", "hisa:block_size=32,num_blocks=8", "--precisions", "none"),
    )
    assert read.returncode == 0, read.stderr
    records = {
        name: [
            json.loads(line) for line in (tmp_path / name / "samples.jsonl").read_text("utf-8").splitlines()
        ]
        for name in ("run", "file")
    }
    # The space before the answer is a token of this model; the row that reads it is the last one.
    for record in (*records["run"], *records["file"]):
        assert record["details"]["lead_in"] == 1
        assert record["details"]["visible"][-1] == 1024 - 128 + 1
    first = [r["details"]["layers"] for r in records["run"] if r["depth"] == 100]
    for mine, theirs in zip(first, (r["details"]["layers"] for r in records["file"]), strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert {**one, "noise": {}} == {**other, "noise": {}}


def test_a_run_of_an_older_version_is_read_and_not_mixed_with(inside: Command, tmp_path: Path) -> None:
    run = [
        *("fidelity", "--synthetic", "spikes", "--lengths", "300", "--rows", "3", "--topk", "32"),
        *("--indexer", "hisa:block_size=16,num_blocks=4", "--precisions", "none", "--out", "run"),
    ]
    assert inside(*run).returncode == 0
    note = tmp_path / "run" / "tables" / "needles.md"
    assert "the first token of the answer's own text" in note.read_text("utf-8")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))
    del manifest["settings"]["version"]
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    lines = (tmp_path / "run" / "samples.jsonl").read_text("utf-8").splitlines()
    old = [json.loads(line) for line in lines]
    for record in old:
        assert record["details"].pop("lead_in") == 0
    (tmp_path / "run" / "samples.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in old), "utf-8")
    done = inside(*run)
    assert done.returncode == 2
    assert done.stderr == (
        "error: run holds another run: version is (not set) there and 2 here – choose another --out: "
        "results of two versions do not mix; nothing was written\n"
    )
    assert inside("report", "run").returncode == 0
    assert "the prompt's last row, even where it gives no more than a space" in note.read_text("utf-8")


def test_layers_that_share_are_drawn_and_have_no_noise_floor(inside: Command, tmp_path: Path) -> None:
    done = inside(
        *("fidelity", "--lengths", "1k", "--depths", "50%", "--rows", "4", "--topk", "128", "--json"),
        *("--indexer", "index-cache:every=2", "--precisions", "bf16", "--no-attention", "--out", "run"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {one["indexer"] for one in found["noise_floor"]} == {"dsa"}
    assert {one["indexer"] for one in found["needles"]} == {"dsa", "index-cache:every=2"}
    by_layer = pd.read_csv(tmp_path / "run" / "tables" / "agreement-by-layer.csv")
    own = by_layer[(by_layer["indexer"] != "dsa") & (by_layer["metric"] == "recall")]
    mean = {(row["layer"], row["scope"]): row["mean"] for row in own.to_dict("records")}
    assert mean[0, "beyond"] == mean[2, "beyond"] == 1
    assert mean[1, "beyond"] < 0.9
    assert "index-cache:every=2" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_a_model_that_runs_with_hisa_is_shadowed_by_the_others(inside: Command, tmp_path: Path) -> None:
    hisa = "hisa:block_size=32,num_blocks=8"
    run = [
        *("fidelity", "--lengths", "1k", "--depths", "50%", "--rows", "16", "--topk", "128"),
        *("--indexer", "block-sparse:block_size=32", "--run-with", hisa, "--out", "run"),
    ]
    done = inside(*run, "--json", "--no-report")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["contexts"] == {"total": 1, "results": 3, "reused": 0, "failed": 0}
    mean = {
        (one["indexer"], one["scope"], one["metric"]): (one["mean"], one["minimum"])
        for one in found["agreement"]
    }
    labels = ["dsa", hisa, "block-sparse:block_size=32"]
    assert list(dict.fromkeys(one["indexer"] for one in found["agreement"])) == labels
    assert mean[hisa, "all", "iou_running"] == (1.0, 1.0)
    assert mean["dsa", "all", "iou"] == (1.0, 1.0)
    # IoU is symmetric: HISA with DSA is DSA with HISA.
    assert mean["dsa", "all", "iou_running"] == mean[hisa, "all", "iou"]
    assert mean[hisa, "beyond", "iou"][0] < 1
    assert mean[labels[2], "all", "iou_running"][0] < 1
    assert {one["indexer"] for one in found["needles"]} == set(labels)
    floor = {(one["indexer"], one["metric"]): one["mean"] for one in found["noise_floor"]}
    for label in labels:
        assert floor[label, "noise_fp8"] <= floor[label, "noise_f32"] <= 1
    assert floor[hisa, "noise_run"] > 0.999
    assert ("dsa", "noise_run") not in floor
    lines = (tmp_path / "run" / "samples.jsonl").read_text("utf-8").splitlines()
    for record in map(json.loads, lines):
        if record["indexer"] == hisa:
            visible = record["details"]["visible"]
            for layer in record["details"]["layers"]:
                inside_range = [iou for iou, n in zip(layer["iou"], visible, strict=True) if n <= 256]
                assert inside_range
                assert set(inside_range) == {1.0}

    again = inside(*run, "--no-report")
    assert f"the model ran with {hisa}" in again.stdout
    assert "IoU with own" in again.stdout
    assert (tmp_path / "run" / "samples.jsonl").read_text("utf-8").splitlines() == lines
    other = inside(*run[:-4], "--out", "run")
    assert other.returncode == 2
    assert "run holds another run" in other.stderr


def test_a_context_that_fails_is_told_and_tried_again(
    inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hisa_eval.fidelity import synthetic

    real = synthetic.make_frame

    def broken(name: str, length: int, **how: Any) -> Any:
        if length == 1024:
            raise MemoryError("none left")
        return real(name, length, **how)

    monkeypatch.setattr(synthetic, "make_frame", broken)
    run = ["fidelity", "--synthetic", "local", *SMALL, "--out", "run", "--no-report"]
    done = inside(*run)
    assert done.returncode == 1
    assert "9 of 18 results failed: MemoryError: none left" in done.stderr
    monkeypatch.setattr(synthetic, "make_frame", real)
    assert inside(*run).returncode == 0
