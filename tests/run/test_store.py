"""The run store: resume, repair, refusal, durability."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.errors import UserError
from hisa_eval.run.canonical import sample_key
from hisa_eval.run.store import RunStore

SETTINGS = {"lengths": [1024, 2048], "indexers": ["dsa", "hisa"], "needle": {"name": "number", "count": 1}}
ENVIRONMENT = {"command": "niah", "argv": ["hisa-eval", "niah"], "seed": 0, "model": {"name": "nano"}}


def record(number: int, *, status: str = "ok", score: float | None = 1.0, **more: Any) -> dict[str, Any]:
    ok = status == "ok"
    return {
        "key": sample_key({"number": number}),
        "sample_id": f"niah/s{number}",
        "task": "niah",
        "indexer": "dsa",
        "length": 1024,
        "depth": 50.0,
        "sample": number,
        "prediction": "zwölf ✓",
        "score": score if ok else None,
        "status": status,
        "reason": None if ok else "out of memory",
        **more,
    }


def filled(path: Path, count: int) -> Path:
    with RunStore.create_or_open(path, SETTINGS, ENVIRONMENT) as store:
        for number in range(count):
            store.append(record(number))
    return path


def snapshot(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_new_run_writes_manifest_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "run"
    with RunStore.create_or_open(path, SETTINGS, ENVIRONMENT) as store:
        assert not store.resumed
        assert store.records() == []
        store.append(record(3))
        on_disk = (path / "samples.jsonl").read_text(encoding="utf-8")
        assert on_disk.endswith("\n")
        assert json.loads(on_disk)["prediction"] == "zwölf ✓"
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["settings"] == SETTINGS
    assert manifest["command"] == "niah"
    assert len(manifest["sessions"]) == 1
    assert sorted(entry.name for entry in path.iterdir()) == ["manifest.json", "samples.jsonl"]


@pytest.mark.parametrize("before", [0, 1, 5])
def test_resume_with_all_some_and_none_remaining(tmp_path: Path, before: int) -> None:
    path = filled(tmp_path / "run", before)
    with RunStore.create_or_open(path, SETTINGS, ENVIRONMENT) as store:
        assert store.resumed
        assert [store.done(sample_key({"number": n})) for n in range(5)] == [n < before for n in range(5)]
        for number in range(5):
            if not store.done(sample_key({"number": number})):
                store.append(record(number))
        assert len(store.manifest["sessions"]) == 2
    undisturbed = filled(tmp_path / "other", 5)
    assert RunStore.read(path).records() == RunStore.read(undisturbed).records()
    assert (path / "samples.jsonl").read_bytes() == (undisturbed / "samples.jsonl").read_bytes()


def test_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    forward = filled(tmp_path / "a", 6)
    backward = filled(tmp_path / "b", 0)
    with RunStore.create_or_open(backward, SETTINGS, ENVIRONMENT) as store:
        for number in reversed(range(6)):
            store.append(record(number))
    assert RunStore.read(forward).records() == RunStore.read(backward).records()


def test_failed_is_not_done_and_is_superseded(tmp_path: Path) -> None:
    key = sample_key({"number": 0})
    with RunStore.create_or_open(tmp_path / "run", SETTINGS, ENVIRONMENT) as store:
        store.append(record(0, status="failed"))
        assert not store.done(key)
    with RunStore.create_or_open(tmp_path / "run", SETTINGS, ENVIRONMENT) as store:
        assert not store.done(key)
        store.append(record(0))
        assert store.done(key)
    (only,) = RunStore.read(tmp_path / "run").records()
    assert only["status"] == "ok"
    assert len((tmp_path / "run/samples.jsonl").read_text().splitlines()) == 2


def test_last_line_cut_at_every_byte_is_repaired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = filled(tmp_path / "run", 3)
    file = path / "samples.jsonl"
    whole = file.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    capsys.readouterr()
    for size in range(start, len(whole)):
        file.write_bytes(whole[:size])
        complete = size == len(whole) - 1
        read_only = RunStore.read(path)
        assert len(read_only.records()) == (3 if complete else 2)
        assert file.read_bytes() == whole[:size]
        capsys.readouterr()
        with RunStore.create_or_open(path, SETTINGS, ENVIRONMENT) as store:
            warned = capsys.readouterr().err
            assert bool(store.warnings) is (start < size < len(whole) - 1)
            assert warned.count("\n") == len(store.warnings)
            assert store.done(sample_key({"number": 2})) is complete
            if not complete:
                assert file.read_bytes() == whole[:start]
                store.append(record(2))
        assert file.read_bytes() == whole


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "run", 3)
    file = path / "samples.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    for bad in (lines[1][:40] + b"\n", b"\n", b"[1]\n", b"\x00\x00\xff\n"):
        file.write_bytes(lines[0] + bad + lines[2])
        before = snapshot(path)
        for opened in (
            lambda: RunStore.create_or_open(path, SETTINGS, ENVIRONMENT),
            lambda: RunStore.read(path),
        ):
            with pytest.raises(UserError, match="line 2 is damaged"):
                opened()
        assert snapshot(path) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lengths": [1024, 4096]}, "lengths is [1024,2048] there and [1024,4096] here"),
        ({"needle": {"name": "uuid", "count": 1}}, 'needle.name is "number" there and "uuid" here'),
        ({"max_new_tokens": 8}, "max_new_tokens is (not set) there and 8 here"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = filled(tmp_path / "run", 2)
    before = snapshot(path)
    for attempt in (RunStore.create_or_open, RunStore.preflight):
        with pytest.raises(UserError) as caught:
            attempt(path, {**SETTINGS, **change}, ENVIRONMENT)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    assert snapshot(path) == before


def test_other_checkpoint_or_data_is_refused_but_another_device_is_not(tmp_path: Path) -> None:
    first = {**ENVIRONMENT, "model": {"sha256": "aa", "device": "cpu"}, "task_data": "d1"}
    RunStore.create_or_open(tmp_path / "run", SETTINGS, first).close()
    with pytest.raises(UserError, match=r"model\.sha256"):
        RunStore.create_or_open(tmp_path / "run", SETTINGS, {**first, "model": {"sha256": "bb"}})
    with pytest.raises(UserError, match="task_data"):
        RunStore.create_or_open(tmp_path / "run", SETTINGS, {**first, "task_data": "d2"})
    moved = {**first, "model": {"sha256": "aa", "device": "cuda"}, "device": {"name": "cuda:0"}}
    with RunStore.create_or_open(tmp_path / "run", SETTINGS, moved) as store:
        assert store.manifest["device"] == {"name": "cuda:0"}


def test_foreign_folder_and_file_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text('{"name": "web app"}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "manifest.json").write_text('{"format_version":99,"settings":{},"sessions":[]}')
    for name, said in {
        "thesis": "not empty and not a run",
        "file": "is a file",
        "odd": "not the manifest of a run",
        "broken": "not valid JSON",
        "newer": "has format 99",
    }.items():
        before = snapshot(tmp_path)
        for attempt in (RunStore.create_or_open, RunStore.preflight):
            with pytest.raises(UserError, match=said):
                attempt(tmp_path / name, SETTINGS, ENVIRONMENT)
        assert snapshot(tmp_path) == before


def test_unwritable_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for attempt in (RunStore.create_or_open, RunStore.preflight):
        with pytest.raises(UserError, match="cannot write to") as caught:
            attempt(tmp_path / "file" / "run", SETTINGS, ENVIRONMENT)
        assert "\n" not in str(caught.value)


UNPRIVILEGED = """
import os, sys
sys.path.insert(0, sys.argv[2])
from test_store import ENVIRONMENT, SETTINGS, RunStore, UserError
if os.geteuid() == 0:
    os.setuid(65534)
for attempt in (RunStore.create_or_open, RunStore.preflight):
    try:
        attempt(sys.argv[1], SETTINGS, ENVIRONMENT)
    except UserError as error:
        print(error)
"""


def test_read_only_parent_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    command = [sys.executable, "-c", UNPRIVILEGED, str(tmp_path / "run"), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    tmp_path.chmod(0o755)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert all("permission denied" in line for line in lines)


def test_start_killed_before_its_manifest_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "samples.jsonl").touch()
    (path / ".manifest-abc").write_text('{"half')
    with RunStore.create_or_open(path, SETTINGS, ENVIRONMENT) as store:
        assert not store.resumed


def test_read_refuses_what_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a folder"):
        RunStore.read(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no run"):
        RunStore.read(tmp_path)


def test_reading_changes_nothing_and_cannot_append(tmp_path: Path) -> None:
    path = filled(tmp_path / "run", 2)
    before = snapshot(path)
    store = RunStore.read(path)
    with pytest.raises(ValueError, match="reading only"):
        store.append(record(9))
    assert snapshot(path) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": None},
        {"score": float("nan")},
        {"score": 1.5},
        {"score": True},
        {"status": "maybe"},
        {"key": ""},
        {"status": "failed", "score": None, "reason": None},
        {"status": "failed", "score": 0.0, "reason": "oom"},
        {"seconds": {"prefill": float("inf")}},
    ],
)
def test_contradictory_record_is_not_written(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with RunStore.create_or_open(tmp_path / "run", SETTINGS, ENVIRONMENT) as store:
        with pytest.raises(ValueError, match=r".+"):
            store.append({**record(0), **wrong})
        assert store.records() == []
    assert (tmp_path / "run/samples.jsonl").read_bytes() == b""


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_store import ENVIRONMENT, SETTINGS, record
from hisa_eval.run.store import RunStore
store = RunStore.create_or_open(sys.argv[1], SETTINGS, ENVIRONMENT)
number = 0
while True:
    store.append(record(number))
    print(number, flush=True)
    number += 1
"""


def test_kill_while_writing_loses_nothing_and_frees_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "run"
    command = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(20):
        writer.stdout.readline()
    with pytest.raises(UserError, match="another process is writing"):
        RunStore.create_or_open(path, SETTINGS, ENVIRONMENT)
    RunStore.read(path)
    time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    confirmed = 20 + len(writer.stdout.read().split())
    writer.wait()
    writer.stdout.close()
    with RunStore.create_or_open(path, SETTINGS, ENVIRONMENT) as store:
        assert all(store.done(sample_key({"number": number})) for number in range(confirmed))
        assert len(store.records()) <= confirmed + 1


def test_importing_the_store_imports_nothing_heavy() -> None:
    code = (
        "import sys; import hisa_eval.run.store, hisa_eval.run.manifest;"
        "sys.exit(bool({'torch', 'transformers', 'pandas', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
