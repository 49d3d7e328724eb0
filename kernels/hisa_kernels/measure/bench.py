"""Measures contestants on cases: gate first, then the clock; every outcome becomes a record."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hisa_kernels.measure.case import Case
from hisa_kernels.measure.ceilings import Ceilings
from hisa_kernels.measure.clock import time_stages
from hisa_kernels.measure.kinds import KINDS, Judge
from hisa_kernels.measure.pipeline import Contestant, Unavailable, run_pass
from hisa_kernels.measure.records import Records

Tell = Callable[[dict[str, Any]], None]
"""Called with every finished record."""


class DeviceLostError(Exception):
    """The device context is gone; only a new process can go on."""


def key_of(contestant: Contestant, case: Case) -> str:
    """What makes two measurements the same."""
    text = json.dumps([contestant.name, case.facts()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def jobs(contestants: Sequence[Contestant], cases: Sequence[Case]) -> list[tuple[Case, Contestant]]:
    """Every contestant on every case that is meant for its family, each once.

    Batches come in the order of `cases`; within one, flat methods take part once, before the hierarchical
    ones with each budget of blocks.
    """
    found: dict[str, tuple[Case, Contestant]] = {}
    batches: dict[str, list[Case]] = {}
    for case in cases:
        batches.setdefault(case.name, []).append(case)
    for batch in batches.values():
        flat = [(batch[0].flat(), one) for one in contestants if not one.chooses_blocks]
        rest = [(case, one) for case in batch for one in contestants if one.chooses_blocks]
        for case, one in [*flat, *rest]:
            if one.kind == case.kind and not (one.chooses_blocks and case.mode == "flat"):
                found.setdefault(key_of(one, case), (case, one))
    return list(found.values())


def measure(
    contestants: Sequence[Contestant],
    cases: Sequence[Case],
    records: Records,
    ceilings: Ceilings,
    device: str,
    *,
    dumps: Mapping[str, dict[str, Tensor]] | None = None,
    budget_ms: float = 200.0,
    until: float = 0.0,
    tell: Tell = lambda record: None,
) -> None:
    """Measure what `records` does not know yet; who crashed once is not run again.

    Args:
        contestants: Who.
        cases: On what.
        records: Where outcomes go.
        ceilings: Rates that floors follow from.
        device: `"cuda"` or `"cpu"`.
        dumps: Name of inputs -> their tensors, for cases that are not random.
        budget_ms: Of timed passes, each.
        until: Begin nothing after this time (seconds of the epoch); 0 never stops.
        tell: Hears of every outcome.

    Raises:
        DeviceLostError: a contestant broke the device context; the rest needs a new process.
    """
    inputs: Any = None
    truth: Judge | None = None
    broken = {
        record["method"]: f"crashed at {record['case']['context']} keys: not run again"
        for record in records.finished()
        if record["status"] == "crashed"
    }
    for case, contestant in jobs(contestants, cases):
        key = key_of(contestant, case)
        if records.known(key):
            continue
        if until and time.time() > until:
            return
        facts = {"method": contestant.name, "family": contestant.family, "case": _case_facts(case)}
        if contestant.name in broken:
            records.end(key, {**facts, "status": "unavailable", "reason": broken[contestant.name]})
            continue
        records.begin(key, facts)
        began = time.monotonic()
        if inputs is None or inputs.case.name != case.name:
            inputs = truth = None
            _tidy(device)
            inputs = KINDS[case.kind].make(case, device, (dumps or {}).get(case.inputs))
        if truth is None or inputs.case != case:
            inputs = replace(inputs, case=case)
            truth = KINDS[case.kind].truth(inputs, device)
        record = {**facts, **_outcome(contestant, inputs, truth, ceilings, device, budget_ms)}
        record["seconds"] = round(time.monotonic() - began, 3)
        records.end(key, record)
        tell(record)
        if record["status"] == "crashed":
            raise DeviceLostError(record["reason"])


def _case_facts(case: Case) -> dict[str, Any]:
    return {**case.facts(), "most_blocks": None if case.mode == "flat" else case.most_blocks}


def _outcome(
    contestant: Contestant, inputs: Any, truth: Judge, ceilings: Ceilings, device: str, budget_ms: float
) -> dict[str, Any]:
    try:
        stages = contestant.prepare(inputs)
        state = run_pass(stages)
        verdict = truth.judge(state, contestant.block_tolerance)
        del state
        if not verdict.passed:
            return {"status": "red", "reason": verdict.reason, "gate": verdict.figures}
        timing = time_stages(stages, device, budget_ms, graph=inputs.case.kind == "decode").facts()
    except Unavailable as why:
        return {"status": "unavailable", "reason": str(why)}
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        # What CUDA adds about asynchronous errors is the same every time.
        what = " ".join(str(error).partition("Search for")[0].split())[:200]
        reason = f"{type(error).__name__}: {what} ({where.filename.rpartition('/')[2]}:{where.lineno})"
        return {"status": "failed" if _alive(device) else "crashed", "reason": reason}
    finally:
        _tidy(device)
    for part in timing["stages"]:
        _add_floor(part, part["name"], inputs.case, ceilings)
    _add_floor(timing["total"], contestant.family, inputs.case, ceilings)
    return {"status": "ok", "gate": verdict.figures, **timing}


def _add_floor(part: dict[str, Any], name: str, case: Case, ceilings: Ceilings) -> None:
    work = case.work(name)
    if work is not None:
        part |= {"flop": work.flop, "bytes": work.bytes, "floor_ms": ceilings.floor_ms(work, case.dtype)}


def _alive(device: str) -> bool:
    """Whether the device still answers."""
    if device != "cuda":
        return True
    try:
        torch.cuda.synchronize()
        torch.zeros(1, device="cuda").item()
    except RuntimeError:
        return False
    return True


def _tidy(device: str) -> None:
    """Give cached memory back, where the device still answers."""
    if device == "cuda":
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def warm(tasks: Iterable[tuple[Contestant, Case]], device: str) -> list[str]:
    """Run contestants once so that kernels are compiled and on disk; gives what went wrong, a line each.

    Args:
        tasks: Who on what, with random inputs.
        device: `"cuda"` or `"cpu"`.
    """
    wrong = []
    for contestant, case in tasks:
        try:
            run_pass(contestant.prepare(KINDS[case.kind].make(case, device)))
        except Unavailable:
            continue
        except Exception as error:
            wrong.append(f"{contestant.name}, {case.name}, {case.mode}: {type(error).__name__}: {error}")
        if not _alive(device):
            wrong.append("the device context is gone: the rest is compiled when it is needed")
            break
        _tidy(device)
    return wrong
