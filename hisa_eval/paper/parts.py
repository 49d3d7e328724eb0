"""The runs behind the figures where none is given: of the embedded models, each in a folder of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hisa_eval.config.defaults import FIDELITY, LONGBENCH, NIAH, SWEEP
from hisa_eval.config.fidelity import fidelity_settings
from hisa_eval.config.longbench import longbench_settings
from hisa_eval.config.niah import niah_settings
from hisa_eval.config.sweep import sweep_settings
from hisa_eval.errors import UserError
from hisa_eval.latency.settings import LatencySettings, latency_settings
from hisa_eval.latency.study import MANIFEST, RESULTS_FILE, measure_latency
from hisa_eval.paper.published import SENSITIVITY
from hisa_eval.run.canonical import canonical_json, first_difference
from hisa_eval.run.execute import Reporter, execute
from hisa_eval.run.fidelity import PlannedFidelity, Tell, execute_fidelity, fidelity_folder, plan_fidelity
from hisa_eval.run.fidelity_dump import dump_longest
from hisa_eval.run.longbench import plan_longbench
from hisa_eval.run.niah import plan_niah
from hisa_eval.run.plan import PlannedRun, run_folder
from hisa_eval.run.sweep import PlannedSweep, execute_sweep, plan_sweep, sweep_folder

RUNS = "runs"
"""Sub-folder that holds the parts."""

_CONFIGURATIONS = ",".join(("dsa", "block-sparse", *SENSITIVITY))


@dataclass(frozen=True)
class Scale:
    """How large the parts are; settings as they would be typed.

    Attributes:
        niah: Of `hisa-eval niah`.
        longbench: Of `hisa-eval longbench`.
        fidelity: Of `hisa-eval fidelity`.
        sweep: Of `hisa-eval sweep`.
        attention: Length of the prompt whose attention is drawn.
        latency: Lengths of `hisa-eval latency`; None for its default on the device.
    """

    niah: dict[str, Any]
    longbench: dict[str, Any]
    fidelity: dict[str, Any]
    sweep: dict[str, Any]
    attention: str
    latency: str | None = None


QUICK = Scale(
    niah={"lengths": "4k..16k", "depths": "5", "samples": 2},
    longbench={"samples": 6},
    fidelity={"lengths": "8k..32k", "depths": "random:5", "samples": 1, "rows": 64},
    sweep={"lengths": "16k", "depths": "random:5", "rows": 32, "accuracy": False},
    attention="8k",
)
"""Six contexts of needles and more of mini, for an interval over contexts; minutes on two CPU cores."""

FULL = Scale(
    niah={"lengths": "4k..128k", "depths": "11", "samples": 2},
    longbench={"samples": None},
    fidelity={"lengths": "8k..128k", "depths": "random:10", "samples": 1, "rows": 256},
    sweep={"lengths": "16k,32k,64k", "depths": "random:10", "rows": 64},
    attention="32k",
    latency="8k..128k",
)
"""The paper's own lengths; for a GPU."""


class Voice(Protocol):
    """Who is told of the parts."""

    def phase(self, text: str) -> None:
        """A part begins."""

    def reporter(self, run: PlannedRun) -> Reporter:
        """Who is told of a suite's steps."""

    def tell(self) -> Tell:
        """Who is told of compared contexts."""

    def timed(self) -> Callable[[dict[str, Any]], None]:
        """Who is told of measurements."""


@dataclass(frozen=True)
class Plan:
    """All parts, checked, and where they go."""

    folder: Path
    niah: PlannedRun
    longbench: PlannedRun
    fidelity: PlannedFidelity
    sweep: PlannedSweep
    attention: PlannedFidelity
    latency: LatencySettings

    def paths(self) -> dict[str, Path]:
        """Part -> its folder, or the dump's file."""
        names = ("latency", "niah", "longbench", "fidelity", "sweep")
        folders = {name: self.folder / RUNS / name for name in names}
        return {**folders, "attention": self.folder / RUNS / "attention.safetensors"}


def plan_parts(folder: Path, scale: Scale, *, device: str, seed: int) -> Plan:
    """Check everything that can be checked without weights, folders of an earlier start included.

    Args:
        folder: `--out`.
        scale: `QUICK` or `FULL`.
        device: `"cpu"` or `"cuda"`, resolved.
        seed: Of every part.

    Raises:
        UserError: a part's folder holds a run of other settings.
    """
    who = {"device": device, "seed": seed}
    niah = NIAH | who | {"indexer": "dsa,block-sparse,hisa:ratio=4"} | scale.niah
    longbench = LONGBENCH | who | {"indexer": _CONFIGURATIONS} | scale.longbench
    fidelity = FIDELITY | who | {"indexer": "hisa", "precisions": "none", "attention": False} | scale.fidelity
    sweep = (
        SWEEP
        | who
        | {"indexer": _CONFIGURATIONS, "block_size": "128", "num_blocks": "64", "ratio": "none"}
        | scale.sweep
    )
    one = FIDELITY | who | {"lengths": scale.attention, "depths": "random:1", "rows": 1, "indexer": "hisa"}
    plan = Plan(
        folder,
        plan_niah(niah_settings(niah)),
        plan_longbench(longbench_settings(longbench)),
        plan_fidelity(fidelity_settings(fidelity)),
        plan_sweep(sweep_settings(sweep)),
        plan_fidelity(fidelity_settings(one)),
        latency_settings(device, scale.latency, 1024 if device == "cuda" else None),
    )
    paths = plan.paths()
    run_folder(plan.niah, paths["niah"])
    run_folder(plan.longbench, paths["longbench"])
    fidelity_folder(plan.fidelity, paths["fidelity"])
    sweep_folder(plan.sweep, paths["sweep"])
    _latency_done(plan, paths["latency"])
    return plan


def run_parts(plan: Plan, voice: Voice, *, threads: int | None = None) -> int:
    """Carry out what is missing.

    Args:
        plan: From `plan_parts`.
        voice: Is told of everything.
        threads: CPU threads.

    Returns:
        How many results failed now.

    Raises:
        UserError: a folder cannot be written.
        KeyboardInterrupt: stopped by the user; everything finished is kept.
    """
    paths = plan.paths()
    failed = _latency(plan, paths["latency"], voice)
    if not paths["attention"].is_file():
        voice.phase("attention: one prompt")
        try:
            paths["attention"].parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write {plan.folder} ({error.strerror})", "choose another --out"
            ) from error
        dump_longest(plan.attention, paths["attention"])
    voice.phase("fidelity: selections compared with DSA's")
    place = fidelity_folder(plan.fidelity, paths["fidelity"])
    failed += execute_fidelity(plan.fidelity, place, voice.tell(), threads=threads).n_failed
    voice.phase("sweep: configurations of HISA")
    where = sweep_folder(plan.sweep, paths["sweep"])
    failed += execute_sweep(plan.sweep, where, voice.reporter, voice.tell(), voice.phase, threads=threads)
    for name, run in (("niah", plan.niah), ("longbench", plan.longbench)):
        voice.phase(f"{name}: {len(run.layout)} samples")
        folder = run_folder(run, paths[name])
        failed += execute(run, folder, voice.reporter(run), threads=threads).n_failed
    return failed


def _latency_done(plan: Plan, path: Path) -> bool:
    """Whether the measurement is there, and is the planned one."""
    if not (path / RESULTS_FILE).is_file():
        return False
    try:
        known = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError):
        raise UserError(f"{path} is damaged", "delete it, to measure again") from None
    planned = json.loads(canonical_json(plan.latency.facts()))
    found = first_difference(known, planned)
    if found:
        raise UserError(
            f"{path} holds another measurement: {found.name} is {found.old} there and {found.new} here",
            "choose another --out; nothing was written",
        )
    return True


def _latency(plan: Plan, path: Path, voice: Voice) -> int:
    """Measure anew unless it is finished; half a measurement is none, so it has a folder of its own."""
    if _latency_done(plan, path):
        return 0
    voice.phase("latency: flat and hierarchical selection")
    unfinished = path.with_name("latency-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    records = measure_latency(plan.latency, unfinished, voice.timed())
    unfinished.rename(path)
    return sum(one["status"] in ("red", "failed", "crashed") for one in records)
