"""Times our operators and leaves a folder that a report can be drawn from."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hisa_eval.config.defaults import RESULTS
from hisa_eval.errors import UserError
from hisa_eval.latency.settings import LatencySettings, input_errors
from hisa_eval.run.manifest import collect_environment, now

if TYPE_CHECKING:
    from hisa_kernels.measure.case import Case
    from hisa_kernels.measure.pipeline import Contestant

MANIFEST = "manifest.json"
RESULTS_FILE = "results.json"


def latency_folder(out: Path | None) -> Path:
    """Where a measurement lands: a new folder under `results/`, or an empty or missing one that is named.

    Raises:
        UserError: the named folder holds something.
    """
    if out is None:
        stem = f"latency-{datetime.now():%Y%m%d-%H%M%S}"
        path, number = Path(RESULTS) / stem, 2
        while path.exists():
            path, number = Path(RESULTS) / f"{stem}.{number}", number + 1
        return path
    if out.is_file():
        raise UserError(f"{out} is a file, not a folder", "choose another --out")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty", "choose another --out; nothing was written")
    return out


def cases_of(settings: LatencySettings) -> list[Case]:
    """A case for every length and budget."""
    from hisa_kernels.measure.case import Case

    found = []
    for length in settings.lengths:
        case = Case(
            settings.queries,
            length,
            heads=settings.heads,
            dim=settings.dim,
            dtype=settings.dtype,
            topk=settings.topk,
            block_size=settings.block_size,
            num_blocks=settings.num_blocks,
            inputs=settings.inputs.stem if settings.inputs else "random",
        )
        found += [case, *([case.with_ratio(settings.ratio)] if settings.ratio else [])]
    return found


def contestants_on(device: str) -> list[Contestant]:
    """Who is timed: the kernels where they run, else the reference operators."""
    from hisa_kernels.measure import own, references

    if device == "cuda" and importlib.util.find_spec("tilelang") is not None:
        return own.kernels()
    return references.reference()


def measure_latency(
    settings: LatencySettings, folder: Path, tell: Callable[[dict[str, Any]], None] = lambda record: None
) -> list[dict[str, Any]]:
    """Measure and write `manifest.json`, `records.jsonl`, `results.json` and `results.csv`.

    Args:
        settings: What.
        folder: Where to; made here.
        tell: Hears of every finished record.

    Returns:
        The records.

    Raises:
        UserError: the inputs' file does not fit, or the folder cannot be written.
    """
    from hisa_kernels.measure.bench import DeviceLostError, measure
    from hisa_kernels.measure.ceilings import measure_ceilings
    from hisa_kernels.measure.clock import METHOD
    from hisa_kernels.measure.facts import device_facts, gpu_state
    from hisa_kernels.measure.gate import LEAST, ROWS, TIE
    from hisa_kernels.measure.inputs import make_inputs, read_dump
    from hisa_kernels.measure.records import FORMAT_VERSION, Records, write_csv

    cases, dumps = cases_of(settings), {}
    if settings.inputs is not None:
        with input_errors():
            dumps[settings.inputs.stem] = read_dump(settings.inputs)
            make_inputs(cases[-1], settings.device, dumps[settings.inputs.stem])
    states = {"before": gpu_state()}
    ceilings = measure_ceilings(settings.device)
    try:
        records = Records(folder)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write {folder} ({why})", "choose another --out") from error
    manifest = {
        "format_version": FORMAT_VERSION,
        **collect_environment(command="latency", device=device_facts(settings.device)),
        "settings": settings.facts(),
        "created": now(),
        "ceilings": ceilings.facts(),
        "method": METHOD,
        "gate": {"rows": ROWS, "least_outside_ties": LEAST, "token_tie": TIE},
        "gpu_state": states,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    try:
        measure(
            contestants_on(settings.device),
            cases,
            records,
            ceilings,
            settings.device,
            dumps=dumps,
            tell=tell,
        )
    except DeviceLostError:
        tell({"status": "crashed", "method": "the rest", "reason": "the device context is gone"})
    states["after"] = gpu_state()
    found = records.finished()
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    (folder / RESULTS_FILE).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_csv(folder / "results.csv", found)
    return found
