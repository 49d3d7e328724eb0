"""Cases, inputs, records, and what is measured once."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hisa_kernels import index_scores
from hisa_kernels.measure.bench import jobs, measure
from hisa_kernels.measure.case import Case, Work
from hisa_kernels.measure.ceilings import Ceilings
from hisa_kernels.measure.clock import Spread
from hisa_kernels.measure.inputs import make_inputs, quantise, read_dump
from hisa_kernels.measure.records import Records, flat_rows
from hisa_kernels.measure.references import reference

ROOT = Path(__file__).parents[2]
CEILINGS = Ceilings(1e10, {"f32": 1e11})


def test_work_is_counted_pair_by_pair() -> None:
    case = Case(5, 23, heads=3, dim=8, topk=4, block_size=4, num_blocks=2)
    seen = [23 - 5 + t + 1 for t in range(5)]
    assert case.visible() == sum(seen)
    assert case.candidates() == 5 * 2 * 4
    scores, hisa = case.work("scores"), case.work("hisa")
    assert scores is not None
    assert hisa is not None
    assert scores.flop == 2 * 3 * 8 * sum(seen)
    assert hisa.flop == 2 * 3 * 8 * (5 * 2 * 4 + 5 * math.ceil(23 / 4))
    assert case.work("unknown") is None


def test_a_floor_is_the_slower_of_arithmetic_and_memory() -> None:
    assert CEILINGS.floor_ms(Work(1e11, 1.0), "f32") == pytest.approx(1000)
    assert CEILINGS.floor_ms(Work(1.0, 1e10), "f32") == pytest.approx(1000)


@pytest.mark.parametrize(("context", "expected"), [(8192, 16), (16384, 32), (65536, 128), (1000, 8)])
def test_ratio_derives_m_from_the_context(context: int, expected: int) -> None:
    case = Case(512, context, num_blocks=64).with_ratio(4)
    assert case.num_blocks == expected
    assert case.mode == "4:1"


def test_spread_is_median_and_percentiles() -> None:
    assert Spread.of([float(value) for value in range(11)]) == Spread(5.0, 1.0, 9.0)


def test_quantised_values_come_back() -> None:
    values = torch.randn(64, 32, generator=torch.Generator().manual_seed(1)) * 7
    q, scale = quantise(values)
    assert q.dtype == torch.float8_e4m3fn
    error = (q.float() * scale[:, None] - values).abs()
    # e4m3 has three bits behind the point: half a step is 2^-4 of a value, or of the smallest normal one.
    assert bool((error <= values.abs() / 16 + scale[:, None] * 2.0**-10).all())


def test_a_widened_dump_has_the_models_own_scores(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(40, 2, 16, generator=generator), torch.randn(300, 16, generator=generator)
    weights = torch.rand(40, 2, generator=generator)
    file = tmp_path / "own.safetensors"
    save_file({"q": q, "k": k, "weights": weights}, str(file))
    case = Case(20, 200, heads=8, dim=32, dtype="f32", topk=16, num_blocks=4, block_size=16, inputs="own")
    made = make_inputs(case, "cpu", read_dump(file))
    wide = index_scores(made.q, made.k, made.weights, made.starts, made.ends)
    plain = index_scores(q[-20:], k[-200:].contiguous(), weights[-20:], made.starts, made.ends)
    torch.testing.assert_close(wide, plain)
    with pytest.raises(ValueError, match="fewer than"):
        make_inputs(Case(20, 400, heads=2, dim=16, dtype="f32", inputs="own"), "cpu", read_dump(file))
    with pytest.raises(ValueError, match="multiple"):
        make_inputs(Case(20, 200, heads=3, dim=16, dtype="f32", inputs="own"), "cpu", read_dump(file))


def test_flat_methods_take_part_once_a_batch(small: Case) -> None:
    found = jobs(reference(), [small, small.with_ratio(4)])
    assert [(one.name, case.mode) for case, one in found] == [
        ("reference flat", "flat"),
        ("reference HISA", "m = 8"),
        ("reference HISA", "4:1"),
    ]


def test_a_measurement_without_an_end_was_a_crash(small: Case, tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.begin("k", {"method": "broken", "family": "flat", "case": small.facts()})
    with records.path.open("a", encoding="utf-8") as file:
        file.write('{"key": "half a li')
    (record,) = Records(tmp_path).finished()
    assert record["status"] == "crashed"
    assert Records(tmp_path).known("k")
    (row,) = flat_rows([record])
    assert (row["status"], row["stage"], row["ms"]) == ("crashed", "total", None)


def test_what_is_known_is_not_measured_again(small: Case, tmp_path: Path) -> None:
    measure(reference(), [small], Records(tmp_path), CEILINGS, "cpu", budget_ms=1)
    told: list[object] = []
    again = [small, small.with_ratio(4)]
    measure(reference(), again, Records(tmp_path), CEILINGS, "cpu", budget_ms=1, tell=told.append)
    assert len(told) == 1


def benchmarks(out: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command on a CPU with two tiny cases."""
    command = [
        *(sys.executable, "-m", "benchmarks", "--device", "cpu", "--reference", "--no-report"),
        *("--out", str(out), "--lengths", "512..1k", "--queries", "16", "--heads", "2", "--dim", "16"),
        *("--topk", "64", "--block-size", "32", "--num-blocks", "4", "--memory", "", "--nano", ""),
        *("--attention", "", "--decode", "", "--budget-ms", "1", *arguments),
    ]
    paths = [environment.pop("FIRST", ""), *(str(ROOT / part) for part in ("kernels", "tasks", "."))]
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=inherited, timeout=300)


def test_the_command_measures_and_resumes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = benchmarks(out, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    records = json.loads((out / "results.json").read_text(encoding="utf-8"))
    timed = [record["method"] for record in records if record["status"] == "ok"]
    assert timed == ["reference flat", "reference HISA", "reference HISA"] * 2
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["ceilings"]["bytes_per_s"] > 0
    assert manifest["versions"]["torch"]
    assert "reference HISA" in (out / "tables.md").read_text(encoding="utf-8")
    before = (out / "records.jsonl").read_text(encoding="utf-8")
    assert benchmarks(out).returncode == 0
    assert (out / "records.jsonl").read_text(encoding="utf-8") == before


def test_a_malformed_length_is_one_line(tmp_path: Path) -> None:
    done = benchmarks(tmp_path / "out", "--lengths", "8q")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_contestant_that_kills_the_process_stops_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        """
import os
import benchmarks.plan as plan
from hisa_kernels.measure.pipeline import Contestant, Stage

others = plan.contestants_of
killer = Contestant("killer", "flat", lambda inputs: [Stage("scores", lambda state: os._exit(9))])
plan.contestants_of = lambda options: [killer, *others(options)]
""",
        encoding="utf-8",
    )
    done = benchmarks(tmp_path / "out", FIRST=str(tmp_path))
    assert done.returncode == 1, done.stderr
    records = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    statuses = [record["status"] for record in records if record["method"] == "killer"]
    assert statuses == ["crashed", "unavailable"]
    assert [record["status"] for record in records if record["method"] == "reference HISA"] == ["ok"] * 4


def test_operators_and_benchmarks_do_not_know_the_harness() -> None:
    code = (
        "import sys, benchmarks.__main__, benchmarks.plan, hisa_kernels.measure.bench; "
        "others = ('hisa_eval', 'tilelang', 'deep_gemm'); "
        "print([name for name in sys.modules if name.split('.')[0] in others])"
    )
    paths = os.pathsep.join(str(ROOT / part) for part in ("kernels", "tasks", "."))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
    )
    assert done.stdout.strip() == "[]"
