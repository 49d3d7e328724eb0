"""`hisa-eval longbench`: its errors, its records, what is cut, resuming, and the real nano model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

RUN = ["longbench", "--model", "oracle", "--device", "cpu", "--data", "data", "--partial"]
TASKS = ["--tasks", "qasper,trec"]


def lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run without what the clock decides."""
    text = (folder / "samples.jsonl").read_text(encoding="utf-8")
    found = [{**json.loads(line), "seconds": None} for line in text.splitlines()]
    return sorted(found, key=lambda line: str(line["key"]))


def write_rows(folder: Path, name: str, n_rows: int, **changed: Any) -> None:
    """A file in LongBench's schema whose rows grow."""
    folder.mkdir(exist_ok=True)
    rows = [
        {
            "_id": f"{name}-{place}",
            "input": "Who keeps the lamp?",
            "context": "The keeper is Ada Lovelace. " * (40 * (place + 1)),
            "answers": ["Ada Lovelace"],
            "all_classes": ["Ada Lovelace", "Charles"] if name.startswith("trec") else None,
            "length": 160 * (place + 1),
            **changed,
        }
        for place in range(n_rows)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def write_questions(folder: Path) -> None:
    """LongBench v2's file with three questions."""
    folder.mkdir(exist_ok=True)
    choices = {f"choice_{letter}": f"answer {letter}" for letter in "ABCD"}
    rows = [
        {
            "_id": f"q{place}",
            "domain": "Code",
            "sub_domain": "Repositories",
            "difficulty": difficulty,
            "length": length,
            "question": "Which?",
            "answer": "B",
            "context": "It is B. " * 50,
            **choices,
        }
        for place, (difficulty, length) in enumerate((("easy", "short"), ("hard", "short"), ("hard", "long")))
    ]
    (folder / "data.json").write_text(json.dumps(rows), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Rows of three data sets."""
    write_rows(tmp_path / "data", "qasper", 4)
    write_rows(tmp_path / "data", "trec", 3)
    write_rows(tmp_path / "data", "qasper_e", 2)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "data", "--tasks", "musique"], "musique.jsonl is not in data"),
        (["--data", "data", "--tasks", "qasper"], "has 4 rows and the official file 200"),
        (["--data", "data", "--tasks", "qaspr"], "did you mean 'qasper'"),
        (["--data", "data", "--tasks", "qasper_e"], "--suite e"),
        (["--data", "data", "--suite", "e", "--tasks", "musique"], "LongBench-E has no musique"),
        (["--suite", "v3"], "--suite 'v3'"),
        (["--tasks", "qasper"], "mini has no qasper – ask LongBench's rows with --data or --suite v1"),
        (["--suite", "mini", "--data", "data"], "leave --data and --partial away"),
        (["--suite", "v2", "--tasks", "qasper"], "one data set"),
        (["--suite", "v2", "--data", "data"], "data.json is not in data"),
        (["--truncate", "left"], "--truncate 'left'"),
        (["--samples", "0"], "--samples 0"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line(oracle: Command, data: Path, arguments: list[str], words: str) -> None:
    done = oracle("longbench", "--quiet", "--model", "oracle", "--device", "cpu", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_without_data_and_network_it_says_what_to_get(hisa: Command, tmp_path: Path) -> None:
    done = hisa(
        "longbench", "--suite", "v1", "--device", "cpu", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "cache")
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in ("data.zip", "https://huggingface.co/datasets/", "--data"):
        assert word in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_run_leaves_a_record_per_row_and_indexer(oracle: Command, data: Path) -> None:
    done = oracle(*RUN, *TASKS, "--out", "run")
    assert done.returncode == 0, done.stderr
    found = lines(data.parent / "run")
    assert len(found) == 7 * 3
    for line in found:
        assert line["task"] in ("longbench/qasper", "longbench/trec")
        assert line["sample_id"] == f"{line['task']}/{line['details']['row']}"
        assert line["score"] == 1.0
        assert line["details"]["n_cut"] == 0
        assert line["length"] // 2 < line["n_total_tokens"] <= line["length"]
    manifest = json.loads((data.parent / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["tasks"] == ["qasper", "trec"]
    assert len(manifest["task_data"]["datasets"]["qasper"]["file_sha256"]) == 64
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| dsa ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert [cell[:4] for cell in cells[1:]] == ["1.00", "–", "–", "1.00", "–", "–", "1.00", "7", "0", "0"]
    page = (data.parent / "run" / "report.html").read_text(encoding="utf-8")
    assert "<h1>LongBench" in page
    assert "not run yet" not in page


def test_a_stopped_run_is_finished_and_another_one_refused(oracle: Command, data: Path) -> None:
    quick = [*RUN, *TASKS, "--no-report", "--out", "run"]
    assert oracle(*quick).returncode == 0
    whole = lines(data.parent / "run")
    file = data.parent / "run" / "samples.jsonl"
    kept = file.read_bytes().splitlines(keepends=True)[:5]
    file.write_bytes(b"".join(kept) + b'{"key": "cut o')
    done = oracle(*quick)
    assert done.returncode == 0
    assert "5 finished" in done.stderr
    assert lines(data.parent / "run") == whole
    write_rows(data, "trec", 3, input="Who else?")
    refused = oracle(*quick)
    assert refused.returncode == 2
    assert "holds another run: task_data" in refused.stderr
    assert lines(data.parent / "run") == whole


def test_sub_samples_are_nested(oracle: Command, data: Path) -> None:
    asked = []
    for n in (1, 2, 3):
        out = f"run{n}"
        assert oracle(*RUN, "--tasks", "qasper", "--samples", n, "--no-report", "--out", out).returncode == 0
        asked.append({line["sample_id"] for line in lines(data.parent / out)})
        assert len(asked[-1]) == n
    assert asked[0] < asked[1] < asked[2]


def test_what_is_too_long_fails_or_is_cut_and_counted(oracle: Command, data: Path) -> None:
    limit = ["--tasks", "qasper", "--max-prompt-tokens", "3000", "--no-report"]
    done = oracle(*RUN, *limit, "--out", "error")
    assert done.returncode == 1
    failed = [line for line in lines(data.parent / "error") if line["status"] == "failed"]
    assert failed
    assert all("--truncate middle" in line["reason"] for line in failed)
    assert f"{len(failed) // 3} failed" in done.stdout
    done = oracle(*RUN, *limit, "--truncate", "middle", "--out", "middle")
    assert done.returncode == 0, done.stderr
    cut = [line for line in lines(data.parent / "middle") if line["details"]["n_cut"] > 0]
    assert len(cut) == len(failed)
    assert all(line["n_prompt_tokens"] <= 3000 for line in cut)
    assert f"{len(cut) // 3} of 4" in done.stdout


def test_longbench_e_is_shown_by_length(oracle: Command, data: Path) -> None:
    done = oracle(*RUN, "--suite", "e", "--tasks", "qasper", "--no-report", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert {line["task"] for line in lines(data.parent / "run")} == {"longbench/qasper_e"}
    assert "LongBench-E by length" in done.stdout
    heads = [line.split("|")[2:-1] for line in done.stdout.splitlines() if line.startswith("| indexer ")]
    assert [head.strip() for head in heads[1]] == ["0-4k", "4-8k", "8k+", "n", "failed", "cut"]


def test_longbench_v2_is_shown_by_difficulty_and_length(oracle: Command, tmp_path: Path) -> None:
    write_questions(tmp_path / "data")
    done = oracle(*RUN, "--suite", "v2", "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "run")
    assert len(found) == 3 * 3
    assert {line["task"] for line in found} == {"longbench-v2"}
    assert oracle("score", "run").returncode == 0
    table = (tmp_path / "run" / "tables" / "longbench-v2.md").read_text(encoding="utf-8")
    assert "| indexer | overall | easy | hard | short | medium | long | n | failed | cut |" in table


def test_without_data_it_asks_mini_and_says_so_everywhere(oracle: Command, tmp_path: Path) -> None:
    done = oracle("longbench", "--model", "oracle", "--device", "cpu", "--samples", "2")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name.startswith("mini-")
    found = lines(folder)
    assert len(found) == 7 * 2 * 3
    assert {line["task"].partition("/")[0] for line in found} == {"mini"}
    # The oracle puts a space before every answer, and code is compared with its white space.
    assert all(line["score"] > (0.9 if line["task"] == "mini/call" else 0.999999) for line in found)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["command"], manifest["settings"]["suite"]) == ("mini", "mini")
    assert manifest["task_data"]["task"] == "mini"
    assert "mini (generated, not LongBench)" in done.stdout
    assert "| mini/two_documents " in done.stdout
    assert "<h1>mini (generated, not LongBench)" in (folder / "report.html").read_text(encoding="utf-8")
    assert not (folder / "tables" / "longbench.md").exists()
    titles = [path.read_text(encoding="utf-8").splitlines()[0] for path in folder.glob("tables/*.md")]
    assert len(titles) >= 5
    assert all("mini (generated, not LongBench)" in title for title in titles)
    assert (folder / "figures" / "accuracy-by-task.png").exists()
    assert "| indexer | SQA | MQA | Sum | FS | Syn | Code | Avg | n | failed | cut |" in (
        folder / "tables" / "mini.md"
    ).read_text(encoding="utf-8")
    assert oracle("score", folder).returncode == 0
    compared = oracle("compare", f"{folder}@dsa", f"{folder}@block-sparse")
    assert compared.returncode == 0, compared.stderr
    assert "mini/two_documents" in compared.stdout


def test_a_dry_run_forecasts_by_data_set(oracle: Command, data: Path) -> None:
    done = oracle(*RUN, *TASKS, "--dry-run", "--json")
    forecast = json.loads(done.stdout)
    assert (forecast["cells"], forecast["samples"]) == (6, 21)
    assert {line["task"] for line in forecast["lines"]} == {"longbench/qasper", "longbench/trec"}
    assert "| longbench/qasper" in oracle(*RUN, *TASKS, "--dry-run").stdout
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_the_prompt_shown_is_the_one_that_a_run_sends(oracle: Command, data: Path) -> None:
    shown = ["show-prompt", "--model", "oracle", "--task", "longbench/trec", "--index", "1", "--data", "data"]
    facts = json.loads(oracle(*shown, "--partial", "--json").stdout)
    assert oracle(*RUN, "--tasks", "trec", "--no-report", "--out", "run").returncode == 0
    (sent,) = {
        line["prompt_sha256"] for line in lines(data.parent / "run") if line["sample_id"] == facts["sample"]
    }
    assert facts["sha256"] == sent
    assert facts["references"] == ["Ada Lovelace"]
    for arguments, words in (
        (["--task", "longbench/trec", "--index", "3"], "there is no row 3 – rows are 0 to 2"),
        (["--task", "longbench"], "longbench has several tasks – name one of them"),
        (["--task", "chess"], "unknown task 'chess'"),
        (["--task", "longbench/trec", "--chat-template", "on"], "model oracle has no chat template"),
        (["--task", "longbench/qasper", "--needle", "multikey"], "longbench/qasper has no --needle"),
    ):
        done = oracle("show-prompt", "--model", "oracle", "--data", "data", "--partial", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert words in done.stderr


def test_the_nano_model_answers(inside: Command, data: Path) -> None:
    done = inside(
        *("longbench", "--data", "data", "--partial", "--tasks", "qasper", "--samples", "2"),
        *("--indexer", "dsa,hisa:block_size=32,num_blocks=16", "--topk", "256", "--device", "cpu"),
        *("--out", "run", "--quiet", "--threads", "1", "--truncate", "middle", "--max-prompt-tokens", "2000"),
    )
    assert done.returncode == 0, done.stderr
    found = lines(data.parent / "run")
    assert len(found) == 4
    assert all(line["selection"]["layers"] for line in found)
    assert (data.parent / "run" / "tables" / "longbench.md").exists()
    assert (data.parent / "run" / "tables" / "fidelity.md").exists()


def test_the_nano_model_answers_mini(inside: Command, tmp_path: Path) -> None:
    done = inside(
        *("longbench", "--tasks", "label", "--samples", "1", "--indexer", "dsa,hisa", "--device", "cpu"),
        *("--out", "run", "--quiet", "--threads", "1", "--no-report"),
    )
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "run")
    assert [line["sample_id"] for line in found] == ["mini/label/label-2048-0-0"] * 2
    assert all(line["selection"]["layers"] for line in found)


def test_rows_on_one_context_are_forecast_without_it(oracle: Command, data: Path) -> None:
    shared = ["Lamps burn. " * 400] * 3
    apart = [f"Lamps burn {place} times. " * 200 for place in range(3)]
    tokens = []
    for contexts in (shared, apart):
        rows = [
            {"_id": str(n), "input": "Who?", "context": text, "answers": ["a"], "length": 800}
            for n, text in enumerate(contexts)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (data / "qasper.jsonl").write_text(text, encoding="utf-8")
        forecast = oracle(*RUN, "--tasks", "qasper", "--indexer", "dsa", "--dry-run", "--json")
        (line,) = json.loads(forecast.stdout)["lines"]
        tokens.append(line["tokens"])
    assert tokens[0] < 0.5 * tokens[1]
