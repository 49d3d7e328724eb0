"""`hisa-eval fidelity --dump FOLDER/` and `--inputs FOLDER`: captured once, compared without the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

Command = Callable[..., Any]

HISA = "hisa:block_size=32,num_blocks=8"
GRID = ["--lengths", "1k,2k", "--depths", "0,50,100", "--rows", "8", "--device", "cpu"]
WHO = ["--topk", "128", "--indexer", f"{HISA},index-cache:every=2", "--precisions", "none"]


def told(done: Any) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def records(folder: Path) -> dict[tuple[str, int, float], dict[str, Any]]:
    """By indexer, length and depth."""
    lines = (folder / "samples.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return {(one["indexer"], one["length"], one["depth"]): one for one in found}


def test_a_folder_of_dumps_gives_the_figures_of_its_model(inside: Command, tmp_path: Path) -> None:
    made = told(inside("fidelity", *GRID, *WHO, "--dump", "captured/", "--json"))
    assert (made["written"], made["kept"]) == (6, 0)
    assert made["files"] == [
        f"niah-000{length}-d{depth}.00-s000{sample}.safetensors"
        for length in (1024, 2048)
        for sample, depth in enumerate(("000", "050", "100"))
    ]
    assert sorted(path.name for path in (tmp_path / "captured").iterdir()) == sorted(made["files"])
    with safe_open(str(tmp_path / "captured" / made["files"][0]), framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys() if "layer" in name} == {torch.float32}  # noqa: SIM118

    model = told(inside("fidelity", *GRID, *WHO, "--out", "model", "--json", "--no-report"))
    recorded = told(inside("fidelity", "--inputs", "captured", *WHO, "--out", "recorded", "--json"))
    ours, theirs = records(tmp_path / "model"), records(tmp_path / "recorded")
    assert set(ours) == set(theirs)
    assert len(ours) == 3 * 6
    for place, one in ours.items():
        other = theirs[place]
        for name in ("visible", "lead_in", "scored_keys"):
            assert one["details"][name] == other["details"][name]
        # Only the model knows what its own pass selected.
        layers = [{**layer, "noise": {}} for layer in one["details"]["layers"]]
        assert layers == other["details"]["layers"]
        assert one["n_prompt_tokens"] == other["n_prompt_tokens"]
    assert {one["task"] for one in theirs.values()} == {"fidelity/dump/captured"}
    assert {one["sample_id"].rpartition("/")[2] + ".safetensors" for one in theirs.values()} == set(
        made["files"]
    )
    keys = ("indexer", "length", "scope", "metric")
    figures = [
        {tuple(row[key] for key in keys): {**row, "inputs": ""} for row in found["agreement"]}
        for found in (model, recorded)
    ]
    assert figures[0] == figures[1]
    own = figures[1][HISA, 2048, "beyond", "iou"]
    assert own["n_contexts"] == 3
    assert 0 < own["low"] < own["mean"] < own["high"] < 1
    assert {row["inputs"] for row in recorded["agreement"]} == {"dump/captured"}
    assert {row["n"] for row in recorded["needles"]} == {3}
    again = told(
        inside("fidelity", "--inputs", "captured/", *WHO, "--out", "recorded", "--json", "--no-report")
    )
    assert again["contexts"] == {"total": 6, "results": 18, "reused": 18, "failed": 0}


def test_finished_dumps_are_kept_and_those_of_other_settings_refused(inside: Command, tmp_path: Path) -> None:
    grid = ["--synthetic", "local,spikes", "--lengths", "200,300", "--samples", "2", "--rows", "4"]
    (tmp_path / "there").mkdir()
    # A folder that exists needs no slash.
    made = told(inside("fidelity", *grid, "--dump", "there", "--json"))
    assert made["files"][0] == "local-0000200-s0000.safetensors"
    assert made["written"] == 8
    folder = tmp_path / "there"
    stamps = {name: (folder / name).stat().st_mtime_ns for name in made["files"]}
    first, *others = made["files"]
    (folder / first).unlink()
    (folder / f".{others[0]}.unfinished").write_bytes(b"half")
    # Who is compared does not change what is captured.
    again = inside("fidelity", *grid, "--indexer", "block-sparse", "--dump", "there/")
    assert again.returncode == 0, again.stderr
    assert again.stdout == "there: 1 of 8 files written, 7 kept\n"
    assert again.stderr.startswith("1/1: synthetic/local 200")
    assert {name: (folder / name).stat().st_mtime_ns for name in others} == {n: stamps[n] for n in others}
    for changed in (["--seed", "1"], ["--rows", "5"], ["--topk", "256"]):
        other = inside("fidelity", *grid, *changed, "--dump", "there/")
        assert other.returncode == 2
        assert "holds inputs of other settings" in other.stderr
        assert other.stderr.count("\n") == 1
    more = told(inside("fidelity", *grid, "--samples", "3", "--dump", "there/", "--json"))
    assert (more["written"], more["kept"]) == (4, 8)
    half = told(
        inside("fidelity", "--inputs", "there", "--topk", "32", "--indexer", "dsa", "--json", "--no-report")
    )
    assert half["contexts"]["total"] == 12


def test_a_context_that_cannot_be_captured_leaves_the_finished_ones(
    inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hisa_eval.fidelity import synthetic

    real = synthetic.make_frame

    def broken(name: str, length: int, **how: Any) -> Any:
        if length == 300:
            raise MemoryError("none left")
        return real(name, length, **how)

    run = ["fidelity", "--synthetic", "local", "--lengths", "200,300", "--rows", "4", "--dump", "some/"]
    monkeypatch.setattr(synthetic, "make_frame", broken)
    done = inside(*run)
    assert done.returncode == 2
    assert "local-0000300-s0000.safetensors cannot be made: MemoryError: none left" in done.stderr
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["local-0000200-s0000.safetensors"]
    monkeypatch.setattr(synthetic, "make_frame", real)
    assert inside(*run).stdout == "some: 1 of 2 files written, 1 kept\n"


def test_layers_may_differ_from_file_to_file(inside: Command, tmp_path: Path) -> None:
    made = told(
        inside("fidelity", "--lengths", "1k", "--depths", "2", "--rows", "4", "--dump", "some/", "--json")
    )
    short = tmp_path / "some" / made["files"][0]
    with safe_open(str(short), framework="pt") as file:
        kept = {name: file.get_tensor(name) for name in file.keys() if "layer.2" not in name}  # noqa: SIM118
    # Written by somebody else, without a length that could be read.
    save_file(kept, str(short), metadata={"length": "long", "depth": "nan"})
    found = told(inside("fidelity", "--inputs", "some", "--out", "run", *WHO, "--json", "--no-report"))
    assert found["contexts"]["failed"] == 0
    by_layers = {
        len(one["details"]["layers"]): (one["length"], one["depth"])
        for one in records(tmp_path / "run").values()
    }
    assert by_layers == {2: (1024 - 128 + 1, None), 3: (1024, 100.0)}


CASES = [
    ("nothing in it", ["--inputs", "empty"], "empty holds no *.safetensors"),
    ("no dump in it", ["--inputs", "mixed"], "z.safetensors holds no indexer inputs"),
    ("no safetensors in it", ["--inputs", "broken"], "a.safetensors is no safetensors file"),
    ("a file in its place", ["--dump", "note.txt/"], "note.txt is a file, not a folder"),
    ("another's file in its place", ["--dump", "broken/"], "is no safetensors file"),
]


@pytest.mark.parametrize(("arguments", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_bad_input_is_one_line(inside: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    for name in ("empty", "mixed", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "note.txt").write_text("mine", "utf-8")
    save_file(
        {"q": torch.ones(3, 2, 4), "k": torch.ones(9, 4), "weights": torch.ones(3, 2)}, str(tmp_path / "y")
    )
    shutil.copy(tmp_path / "y", tmp_path / "mixed" / "y.safetensors")
    save_file({"a": torch.ones(2)}, str(tmp_path / "mixed" / "z.safetensors"))
    for name in ("a.safetensors", "local-0000200-s0000.safetensors"):
        (tmp_path / "broken" / name).write_text("no", "utf-8")
    before = sorted(tmp_path.rglob("*"))
    made_up = ["--synthetic", "local", "--lengths", "200"] if "--dump" in arguments else []
    done = inside("fidelity", "--device", "cpu", *made_up, *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
