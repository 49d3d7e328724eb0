"""Whole answers of the embedded model and of tiny random ones, really timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hisa_eval.config.end_to_end import end_to_end_settings
from hisa_eval.errors import UserError
from hisa_eval.indexers.hisa import HisaIndexer
from hisa_eval.latency.end_to_end import PlannedEndToEnd, end_to_end_folder, plan_end_to_end
from hisa_eval.latency.end_to_end_run import execute_end_to_end
from hisa_eval.latency.memory import PeakMemory
from hisa_eval.report.end_to_end import load_end_to_end
from hisa_eval.run.store import RunStore

HISA = "hisa:block_size=16,num_blocks=32"
PRUNES = "hisa:block_size=16,num_blocks=16"


def planned(**changed: Any) -> PlannedEndToEnd:
    values = {
        "lengths": "512",
        "repetitions": 2,
        "max_new_tokens": 3,
        "indexer": HISA,
        "topk": 128,
        "device": "cpu",
        **changed,
    }
    return plan_end_to_end(end_to_end_settings(values))


def measure(run: PlannedEndToEnd, folder: Path) -> tuple[list[tuple[str, int, int]], Any]:
    told: list[tuple[str, int, int]] = []
    outcome = execute_end_to_end(
        run,
        end_to_end_folder(run, folder),
        lambda who, length, repetition, done, total: told.append((who, length, repetition)),
    )
    return told, outcome


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, int, int]], Any]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, *measure(planned(indexer=f"{HISA},{PRUNES}"), folder)


def test_everybody_takes_turns(finished: tuple[Path, list[tuple[str, int, int]], Any]) -> None:
    _, told, outcome = finished
    everybody = ["dsa", HISA, PRUNES, "transformers"]
    assert told == [
        *((who, 512, -1) for who in everybody),
        *((who, 512, 0) for who in everybody),
        *((who, 512, 1) for who in [*everybody[1:], "dsa"]),
    ]
    assert (outcome.n_total, outcome.n_reused, outcome.n_failed) == (8, 0, 0)


def test_tokens_are_held_within_m_times_b(finished: tuple[Path, list[tuple[str, int, int]], Any]) -> None:
    found = load_end_to_end(finished[0])
    assert found.labels == ("dsa", HISA, PRUNES, "transformers")
    whole = found.cells[HISA, 512]
    assert (whole.held, whole.same, whole.status) == (True, 3, "ok")
    assert found.cells[PRUNES, 512].held is False
    for one in found.cells.values():
        assert one.n_prompt + one.n_new == one.length
        assert set(one.seconds["first"]) == {0, 1}
        assert 0 < one.median("first") < one.median("answer")
    # The stock model is not told what we select, and rounds elsewhere: on so short a prompt it agrees.
    assert found.cells["transformers", 512].same == 3


def test_a_stopped_measurement_is_taken_up(tmp_path: Path) -> None:
    run, folder = planned(stock=False), tmp_path / "run"
    measure(run, folder)
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "samples.jsonl").write_text("".join(lines[:2]) + lines[2][:40], encoding="utf-8")
    told, outcome = measure(run, folder)
    assert outcome.n_reused == 2
    assert [one for one in told if one[2] >= 0] == [(HISA, 512, 1), ("dsa", 512, 1)]
    assert len(RunStore.read(folder).records()) == 4
    assert measure(run, folder)[0] == []


def test_a_wrong_selection_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first_keys(
        self: HisaIndexer, q: Any, k: Any, weights: Any, starts: Any, ends: Any, topk: int, **more: Any
    ) -> torch.Tensor:
        keys = torch.arange(4, dtype=torch.int32).expand(len(q), 4)
        return torch.where(keys < ends[:, None], keys, -1)

    monkeypatch.setattr(HisaIndexer, "select", first_keys)
    run = planned(stock=False, repetitions=1, max_new_tokens=16)
    measure(run, tmp_path / "run")
    found = load_end_to_end(tmp_path / "run").cells[HISA, 512]
    assert found.held
    assert found.status == "red"


def test_what_fails_is_a_failed_line_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(self: HisaIndexer, *_args: Any, **_more: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(HisaIndexer, "select", exhausted)
    _, outcome = measure(planned(stock=False, repetitions=1), tmp_path / "run")
    assert (outcome.n_failed, outcome.reasons) == (1, ["OutOfMemoryError: CUDA out of memory"])
    found = load_end_to_end(tmp_path / "run")
    assert found.cells[HISA, 512].status == "failed"
    assert found.cells["dsa", 512].status == "ok"


def test_settings_are_left_to_the_device() -> None:
    settings = end_to_end_settings({})
    assert settings.settled("cpu").stock is True
    assert settings.settled("cuda").stock is False
    assert settings.settled("cuda").lengths == (8192, 16384, 32768, 65536, 131072)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "http://localhost:1/v1#m"}, "runs elsewhere"),
        ({"lengths": "64"}, "use at least"),
        ({"max_new_tokens": 1}, "--max-new-tokens 1"),
        ({"repetitions": 0}, "--repetitions 0"),
        ({"indexer": "hisa:block_size=16,num_blocks=2"}, "cannot fill"),
    ],
)
def test_what_cannot_be_measured_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        planned(**changed)
    assert words in f"{error.value.what} {error.value.fix}"


def test_the_peak_of_a_process_is_seen() -> None:
    peak = PeakMemory("cpu")
    peak.begin()
    before = peak.read()
    if before is None:
        pytest.skip("this system does not let a process reset its peak")
    held = bytearray(64 << 20)
    held[::4096] = b"x" * len(held[::4096])
    after = peak.read()
    del held
    assert after is not None
    assert after - before > 48 << 20
    peak.begin()
    assert (peak.read() or 0) < after - (32 << 20)
