"""The runner: every sample gets a record, failures have reasons, nothing finished is computed twice."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hisa_eval.indexers import registry
from hisa_eval.run.grid import Grid, make_grid
from hisa_eval.run.progress import Silent
from hisa_eval.run.questions import TasksByLength
from hisa_eval.run.runner import EXCERPT, Runner
from hisa_eval.run.store import RunStore
from hisa_tasks.niah import NiahTask, score

INDEXERS = registry.parse_list("dsa,hisa,block-sparse")
GRID = make_grid([4096, 8192], [0, 50, 100], 2, [one.label for one in INDEXERS])


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    """The in-memory model of the command-line tests."""
    path = Path(__file__).parents[1] / "cli" / "driver.py"
    spec = importlib.util.spec_from_file_location("oracle_driver", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    """An empty store."""
    with RunStore.create_or_open(tmp_path / "run", {"seed": 0}, {"command": "niah", "argv": []}) as store:
        yield store


def make_runner(model: Any, **changed: Any) -> Runner:
    """A runner over the needle task, with parts of its identity changed."""
    task = NiahTask(**{"max_new_tokens": 32, **changed.pop("task", {})})
    identity = {"model": dict(model.describe()), "device": "cpu"}
    return Runner(model, TasksByLength({"niah": task}, score, GRID), INDEXERS, identity=identity, **changed)


def test_every_step_has_a_full_record(oracle: ModuleType, store: RunStore) -> None:
    outcome = make_runner(oracle.Oracle()).run(GRID, store, Silent())
    records = store.records()
    assert len(records) == len(GRID) == outcome.n_total
    assert outcome.n_reused == outcome.n_failed == 0
    for record in records:
        assert record["status"] == "ok"
        assert record["n_total_tokens"] == record["length"]
        assert record["n_prompt_tokens"] + record["max_new_tokens"] == record["length"]
        assert len(record["prompt_head"]) == len(record["prompt_tail"]) == EXCERPT
        assert len(record["prompt_sha256"]) == 64
        assert record["needle"] == "single-number"
        (place,) = record["evidence_at"]
        assert abs(place - record["depth"]) < 15
        assert record["seconds"]["build"] >= 0
        assert record["selection"]["layers"]
        lost = record["indexer"] != "dsa" and record["length"] > 4096 and record["depth"] == 50
        assert record["score"] == (0.0 if lost else 1.0)
    assert len({record["key"] for record in records}) == len(records)
    prompts = {record["sample_id"]: set() for record in records}  # type: ignore[var-annotated]
    for record in records:
        prompts[record["sample_id"]].add(record["prompt_sha256"])
    assert all(len(hashes) == 1 for hashes in prompts.values())


@pytest.mark.parametrize("n_done", [0, 1, len(GRID) - 1, len(GRID)])
def test_a_run_stopped_anywhere_is_finished_once(oracle: ModuleType, tmp_path: Path, n_done: int) -> None:
    settings: dict[str, Any] = {"seed": 0}

    class Stopping(oracle.Oracle):  # type: ignore[misc, name-defined]
        def generate(self, *args: Any, **options: Any) -> Any:
            if len(self.asked) == n_done:
                raise KeyboardInterrupt
            return super().generate(*args, **options)

    first = Stopping()
    with RunStore.create_or_open(tmp_path, settings, {"argv": []}) as store:
        if n_done < len(GRID):
            with pytest.raises(KeyboardInterrupt):
                make_runner(first).run(GRID, store, Silent())
        else:
            make_runner(first).run(GRID, store, Silent())
    second = oracle.Oracle()
    with RunStore.create_or_open(tmp_path, settings, {"argv": []}) as store:
        outcome = make_runner(second).run(GRID, store, Silent())
        assert outcome.n_reused == n_done
        assert len(first.asked) + len(second.asked) == len(GRID)
        assert len(store.records()) == len(GRID)
    with (tmp_path / "samples.jsonl").open() as lines:
        assert sum(1 for _ in lines) == len(GRID)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"probe": False},
        {"task": {"needle": "single-word"}},
        {"task": {"haystack": "noise"}},
        {"task": {"seed": 1}},
        {"task": {"max_new_tokens": 33}},
        {"task": {"n_distractors": 2}},
        {"revision": "r2"},
    ],
    ids=str,
)
def test_a_changed_setting_reuses_nothing(
    oracle: ModuleType, store: RunStore, change: dict[str, Any]
) -> None:
    grid = make_grid([4096], [0, 50], 1, ["dsa"])
    make_runner(oracle.Oracle()).run(grid, store, Silent())
    assert make_runner(oracle.Oracle()).run(grid, store, Silent()).n_reused == len(grid)
    model = oracle.Oracle(change.pop("revision", "r1"))
    assert make_runner(model, **change).run(grid, store, Silent()).n_reused == 0


def test_options_of_an_indexer_are_part_of_the_key(oracle: ModuleType, store: RunStore) -> None:
    grid = make_grid([4096], [50], 1, ["hisa"])
    make_runner(oracle.Oracle()).run(grid, store, Silent())
    (other,) = registry.parse_list("hisa:block_size=64")
    runner = make_runner(oracle.Oracle())
    runner.indexers = {other.label: other}
    outcome = runner.run(make_grid([4096], [50], 1, [other.label]), store, Silent())
    assert outcome.n_reused == 0


def test_out_of_memory_is_recorded_and_not_tried_again(
    oracle: ModuleType, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid((1024, 2048, 4096), (0.0, 100.0), 1, tuple(one.label for one in INDEXERS))
    monkeypatch.setenv("ORACLE_FAIL", "hisa@2048")
    model = oracle.Oracle()
    outcome = make_runner(model).run(grid, store, Silent())
    failed = [record for record in store.records() if record["status"] == "failed"]
    assert outcome.n_failed == len(failed) == 4
    assert {(record["indexer"], record["length"]) for record in failed} == {("hisa", 2048), ("hisa", 4096)}
    assert [place for place in model.asked if place[0] == "hisa"] == [
        ("hisa", 1024, 100.0),
        ("hisa", 1024, 0.0),
        ("hisa", 2048, 100.0),
    ]
    assert failed[0]["score"] is None
    reasons = {record["reason"] for record in failed}
    assert reasons == {
        "out of memory at 2048 tokens",
        "not tried, as 2k failed: out of memory at 2048 tokens",
    }

    monkeypatch.delenv("ORACLE_FAIL")
    again = make_runner(oracle.Oracle()).run(grid, store, Silent())
    assert again.n_reused == len(grid) - 4
    assert all(record["status"] == "ok" for record in store.records())


def test_an_unexpected_error_fails_its_sample_alone(
    oracle: ModuleType, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORACLE_RAISE", "50")
    outcome = make_runner(oracle.Oracle()).run(GRID, store, Silent())
    failed = [record for record in store.records() if record["status"] == "failed"]
    assert {record["depth"] for record in failed} == {50.0}
    assert len(failed) == outcome.n_failed == len(GRID) // 3
    assert outcome.reasons == ["ZeroDivisionError: division by zero"]


def test_a_length_too_short_for_its_needle_is_a_failed_sample(oracle: ModuleType, store: RunStore) -> None:
    outcome = make_runner(oracle.Oracle()).run(make_grid([64, 4096], [0], 1, ["dsa"]), store, Silent())
    assert outcome.n_failed == 1
    (failed,) = [record for record in store.records() if record["status"] == "failed"]
    assert failed["length"] == 64
    assert "too short" in failed["reason"]
    assert failed["prompt_head"] == ""
