"""`hisa-eval score`: lines in, scores out; bad lines are one error."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FROZEN = ROOT / "tests" / "tasks" / "longbench" / "frozen.jsonl"
REFERENCE = ROOT / "results" / "reference" / "niah-cpu"
Command = Callable[..., Any]
GOOD = {
    "id": "a",
    "dataset": "qasper",
    "pred": "Ada Stone",
    "answers": ["Ada"],
    "all_classes": None,
    "length": 9,
}


def write(folder: Path, *rows: Any, name: str = "preds.jsonl") -> Path:
    texts = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")
    return folder / name


def scored(done: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    *rows, totals = (json.loads(line) for line in done.stdout.splitlines())
    return rows, totals


def test_frozen_answers_get_their_official_scores(inside: Command) -> None:
    rows, totals = scored(inside("score", "--predictions", FROZEN, "--suite", "longbench", "--json"))
    frozen = [json.loads(line) for line in FROZEN.read_bytes().decode().split("\n") if line]
    assert [row["id"] for row in rows] == [row["id"] for row in frozen]
    for row, expected in zip(rows, frozen, strict=True):
        assert row["dataset"] == expected["dataset"]
        assert row["score"] == pytest.approx(expected["official"], abs=1e-9)
        assert 0 <= row["score"] <= 1
    official = json.loads(FROZEN.with_name("frozen-totals.json").read_text("utf-8"))
    assert {name: facts["score"] for name, facts in totals["datasets"].items()} == {
        name: facts["score"] for name, facts in official.items()
    }
    assert (totals["suite"], totals["n"], totals["code_similarity"]) == ("longbench", len(frozen), "difflib")
    assert list(totals["categories"]) == ["SQA", "MQA", "Sum", "FS", "Syn", "Code"]
    assert totals["average"]["complete"]
    for facts in totals["datasets"].values():
        assert facts["low"] <= facts["score"] <= facts["high"]
        assert facts["n"] >= 6
    assert totals["versions"]["rouge"] == "1.0.1"


def test_the_variant_of_code_similarity_is_recorded(inside: Command, tmp_path: Path) -> None:
    pytest.importorskip("rapidfuzz")
    line = {**GOOD, "dataset": "lcc", "pred": "x" * 250 + "ab", "answers": ["ab" + "x" * 230]}
    path = write(tmp_path, line)
    for variant, score in (("difflib", 0.01), ("rapidfuzz", 0.95)):
        options = ["--code-similarity", variant, "--json"]
        (row,), totals = scored(inside("score", "--predictions", path, *options))
        assert (row["score"], row["variant"]) == (score, variant)
        assert row["variants"] == {"difflib": 0.01, "rapidfuzz": 0.95}
        assert totals["code_similarity"] == variant


def test_thinking_is_dropped_by_a_named_rule(inside: Command, tmp_path: Path) -> None:
    path = write(tmp_path, {**GOOD, "pred": "<think>Ben? No.</think>\n\nAda"})
    for rule, expected in (("none", 0.5), ("think-tags", 1.0)):
        (row,), totals = scored(inside("score", "--predictions", path, "--thinking", rule, "--json"))
        assert row == {"id": "a", "dataset": "qasper", "score": expected}
        assert totals["thinking"] == rule


def test_official_prediction_files_are_read_as_they_are(inside: Command, tmp_path: Path) -> None:
    line = {"pred": "Ada\u2028or\r\nBen", "answers": ["Ada"], "all_classes": None, "length": 4000}
    path = write(tmp_path, line, "", line, name="qasper_e.jsonl")
    rows, totals = scored(inside("score", "--predictions", path, "--json"))
    assert [row["id"] for row in rows] == ["qasper_e:1", "qasper_e:3"]
    assert totals["datasets"]["qasper_e"]["by_length"] == {"0-4k": None, "4-8k": 50.0, "8k+": None}
    assert totals["average_e"]["complete"] is False
    assert "average" not in totals


def test_lines_are_taken_as_they_come(inside: Command, tmp_path: Path) -> None:
    trec = {**GOOD, "dataset": "trec_e", "pred": "\n\nDate Place", "answers": ["Date"]}
    lines = [
        {**GOOD, "id": 3, "answers": "Ada"},
        {**GOOD, "id": 3, "answers": []},
        {**GOOD, "id": "\ud800", "pred": "\ud800 Ada", "length": None},
        {**trec, "all_classes": None},
        {**trec, "all_classes": []},
        {**trec, "all_classes": ["Date", "Place", "Da"]},
    ]
    path = tmp_path / "preds.jsonl"
    text = "\n\n".join(json.dumps(one) for one in lines)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode().replace(b"\n\n", b"\r\n\n"))
    rows, totals = scored(inside("score", "--predictions", path, "--json"))
    assert [row["id"] for row in rows] == [3, 3, "\ud800", "a", "a", "a"]
    # A line without classes takes the last ones; "Da" is struck out as part of "Date", "Place" is not.
    assert [row["score"] for row in rows] == pytest.approx([2 / 3, 0, 2 / 3, 0.5, 0, 0.5])
    assert totals["n"] == 6


def test_numbers_and_classes_that_mean_nothing(inside: Command, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {**GOOD, "id": 7, "all_classes": "none"},
        {"_id": "x", "id": None, "dataset": "passage_count", "pred": "12", "answers": [12]},
        {**GOOD, "id": 0, "dataset": "passage_count", "pred": "12 13", "answers": 12},
    )
    rows, _ = scored(inside("score", "--predictions", path, "--json"))
    assert [row["id"] for row in rows] == [7, "x", 0]
    assert [row["score"] for row in rows] == pytest.approx([2 / 3, 1, 0.5])


def test_ten_thousand_lines_take_seconds(inside: Command, tmp_path: Path) -> None:
    names = ("qasper", "gov_report", "trec", "lcc", "passage_count", "dureader")
    lines = (
        {**GOOD, "id": place, "dataset": names[place % 6], "all_classes": ["Ada", "Ben"]}
        for place in range(10_000)
    )
    began = time.perf_counter()
    rows, totals = scored(inside("score", "--predictions", write(tmp_path, *lines), "--json"))
    assert (len(rows), totals["n"]) == (10_000, 10_000)
    assert time.perf_counter() - began < 60


def test_a_table_for_people(inside: Command, tmp_path: Path) -> None:
    done = inside("score", "--predictions", write(tmp_path, GOOD))
    assert done.returncode == 0
    assert "| qasper  | 66.67 |" in done.stdout
    assert "Avg" in done.stdout
    assert "|   – |" in done.stdout
    assert "missing: narrativeqa, multifieldqa_en, " in done.stderr


def test_ruler(inside: Command, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"id": 7, "task": "qa_1", "pred": "In FRANCE.", "answers": ["Paris", "france", "Normandy"]},
        {"id": "8", "task": "qa_1", "pred": "", "answers": ["Paris"]},
        {"id": "9", "task": "niah_multivalue", "pred": "12\x00 34", "answers": ["12", "34", "56", "78"]},
        {"id": "10", "task": "vt", "pred": "abcde", "outputs": ["ABC"]},
    )
    rows, totals = scored(inside("score", "--predictions", path, "--suite", "ruler", "--json"))
    assert rows == [
        {"id": 7, "task": "qa_1", "score": 1.0},
        {"id": "8", "task": "qa_1", "score": 0.0},
        {"id": "9", "task": "niah_multivalue", "score": 0.5},
        {"id": "10", "task": "vt", "score": 1.0},
    ]
    assert totals["tasks"]["qa_1"]["score"] == 50.0
    assert totals["average"] == 66.67
    assert "| niah_multivalue |" in inside("score", "--predictions", path, "--suite", "ruler").stdout


def test_longbench_v2(inside: Command, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "id": "x",
            "pred": "The correct answer is (B).",
            "answer": "B",
            "difficulty": "easy",
            "length": "long",
        },
        {"id": "y", "pred": "B", "answers": ["B"], "difficulty": "hard", "length": "long"},
    )
    rows, totals = scored(inside("score", "--predictions", path, "--suite", "longbench-v2", "--json"))
    assert [(row["score"], row["choice"]) for row in rows] == [(1.0, "B"), (0.0, None)]
    assert totals["parts"]["long"] == {"score": 50.0, "n": 2}
    assert totals["n_no_choice"] == 1


def test_a_run_is_scored_again_from_its_store(inside: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("manifest.json", "samples.jsonl"):
        (run / name).write_bytes((REFERENCE / name).read_bytes())
    rows, totals = scored(inside("score", run, "--json"))
    stored = [json.loads(line) for line in (run / "samples.jsonl").read_text("utf-8").splitlines()]
    assert totals["n"] == len(rows) == len(stored)
    assert totals["n_changed"] == 0
    assert all(row["score"] == row["stored"] for row in rows)
    assert set(totals["indexers"]) == {"dsa", "hisa", "block-sparse"}
    right = next(record for record in stored if record["score"] == 1.0)
    wrong = json.dumps({**right, "prediction": " 0000000."}) + "\n"
    failed = json.dumps({**right, "key": "k", "status": "failed", "score": None, "reason": "memory"}) + "\n"
    with (run / "samples.jsonl").open("a", encoding="utf-8") as file:
        file.write(wrong + failed)
    before = (run / "samples.jsonl").read_bytes()
    rows, totals = scored(inside("score", run, "--json"))
    assert (totals["n_changed"], totals["indexers"][right["indexer"]]["n_failed"]) == (1, 1)
    assert [row["id"] for row in rows if row["score"] != row["stored"]] == [right["sample_id"]]
    assert "| dsa " in inside("score", run).stdout
    assert (run / "samples.jsonl").read_bytes() == before
    with (run / "samples.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**right, "task": "chess"}) + "\n")
    done = inside("score", run)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is of the unknown task 'chess'" in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "line 2 is damaged (not valid JSON, "),
        ("[1]", "line 2 is no JSON object – "),
        ({"id": "a"}, "line 2: field 'dataset' is missing – give every line 'dataset'"),
        ({**GOOD, "dataset": "quasper"}, "unknown LongBench data set 'quasper' – did you mean 'qasper'?"),
        ({**GOOD, "pred": None}, "line 2: field 'pred' is null, not text – mend that line"),
        ({**GOOD, "answers": None}, "line 2: field 'answers' is null, not a list of texts – "),
        ({**GOOD, "answers": [["Ada"]]}, "line 2: field 'answers' is [[\"Ada\"]], not a list of texts – "),
        ({**GOOD, "dataset": "lsht", "all_classes": "体育"}, "field 'all_classes' is \"体育\", not a list"),
        ("[" * 100_000, "line 2 is damaged (not valid JSON, "),
        ({**GOOD, "dataset": "trec"}, "trec is scored against its classes, and none are given – "),
        ({**GOOD, "length": "long"}, "field 'length' is \"long\", not a number"),
        ({**GOOD, "id": [1]}, "field 'id' is [1], not text or a whole number"),
        ({**GOOD, "dataset": "passage_count_e", "pred": 5}, "field 'pred' is 5, not text"),
        ({**GOOD, "dataset": "passage_retrieval_en"}, "the answer 'Ada' does not contain 'Paragraph N'"),
    ],
)
def test_a_bad_line_is_one_error_and_nothing_is_printed(
    inside: Command, tmp_path: Path, line: Any, message: str
) -> None:
    done = inside("score", "--predictions", write(tmp_path, GOOD, line, GOOD), "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert "preds.jsonl" in done.stderr


def test_wrong_use(inside: Command, tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    for arguments, message in (
        (["--predictions", tmp_path / "none"], "cannot read "),
        (["--predictions", write(tmp_path, name="empty.jsonl")], "holds no predictions – "),
        (
            ["--predictions", path, "--suite", "longbnch"],
            "unknown suite 'longbnch' – did you mean 'longbench'?",
        ),
        (["--predictions", path, "--code-similarity", "jaro"], "unknown code similarity 'jaro' – "),
        (["--predictions", path, "--suite", "ruler"], "field 'task' is missing"),
        (["--predictions", path, "--thinking", "all"], "unknown thinking rule 'all' – "),
        ([], "nothing to score given – name the folder of a run, or --predictions FILE"),
        ([tmp_path, "--predictions", path], "both a run and --predictions given – "),
        ([tmp_path], "holds no run (manifest.json is missing) – "),
    ):
        done = inside("score", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr


def test_scoring_loads_no_torch(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, {**GOOD, "dataset": "dureader", "pred": "北京", "answers": ["北京"]})
    code = (
        "import sys; from hisa_eval.cli.main import main; "
        f"code = main(['score', '--predictions', {str(path)!r}, '--json']); "
        "sys.exit(code or 10 * any(name in sys.modules for name in ('torch', 'transformers', 'datasets')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(str(ROOT / part) for part in (".", "kernels", "tasks")), "PATH": ""},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout.splitlines()[1])["score"] > 0.99
