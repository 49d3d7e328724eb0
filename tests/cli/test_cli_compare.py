"""`hisa-eval compare`: on the committed run, and on runs that do not fit together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference" / "niah-cpu"


def copied(folder: Path, change: Any = lambda record: record) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_bytes((REFERENCE / "manifest.json").read_bytes())
    records = [json.loads(line) for line in (REFERENCE / "samples.jsonl").read_text("utf-8").splitlines()]
    (folder / "samples.jsonl").write_text(
        "".join(json.dumps(change(record)) + "\n" for record in records), encoding="utf-8"
    )
    return folder


def test_differences_are_those_of_the_stored_scores(inside: Command) -> None:
    done = inside("compare", f"{REFERENCE}@dsa", f"{REFERENCE}@hisa", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["task"] for row in rows] == [f"niah {n}k" for n in (8, 16, 32, 64, 128)] + ["overall"]
    stored = [json.loads(line) for line in (REFERENCE / "samples.jsonl").read_text("utf-8").splitlines()]

    def score(indexer: str) -> float:
        return sum(record["score"] for record in stored if record["indexer"] == indexer) / 25

    overall = rows[-1]
    assert overall["n_pairs"] == 25
    assert overall["n_clusters"] == 5  # one sample a length, at five depths
    assert overall["mean_a"] == pytest.approx(score("dsa"))
    assert overall["mean"] == pytest.approx(score("hisa") - score("dsa"))
    assert all(row["p_holm"] >= row["p"] for row in rows[:-1])


def test_a_table_for_people_and_in_a_folder(inside: Command, tmp_path: Path) -> None:
    done = inside("compare", f"{REFERENCE}@dsa", f"{REFERENCE}@block-sparse", "--out", "compared")
    assert "| overall" in done.stdout
    assert "Holm" in done.stdout
    names = sorted(path.name for path in (tmp_path / "compared").iterdir())
    assert names == ["comparison.csv", "comparison.md", "comparison.tex"]


def test_another_prompt_is_refused(inside: Command, tmp_path: Path) -> None:
    other = copied(tmp_path / "other", lambda record: {**record, "prompt_sha256": "0" * 64})
    done = inside("compare", f"{REFERENCE}@dsa", f"{other}@dsa")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "was asked with another prompt" in done.stderr


def test_the_same_run_differs_in_nothing(inside: Command, tmp_path: Path) -> None:
    other = copied(tmp_path / "other")
    done = inside("compare", f"{REFERENCE}@hisa", f"{other}@hisa", "--json")
    overall = json.loads(done.stdout)["rows"][-1]
    assert (overall["mean"], overall["better"], overall["worse"], overall["p"]) == (0.0, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        ((f"{REFERENCE}", f"{REFERENCE}@hisa"), "has several indexers – name one of them: "),
        ((f"{REFERENCE}@dsa", f"{REFERENCE}@hysa"), "has no indexer 'hysa' – name one of them: "),
        (("/nowhere@dsa", f"{REFERENCE}@hisa"), "/nowhere is not a folder – give the --out folder of a run"),
    ],
)
def test_wrong_use_is_one_line(inside: Command, sides: tuple[str, str], words: str) -> None:
    done = inside("compare", *sides)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr
