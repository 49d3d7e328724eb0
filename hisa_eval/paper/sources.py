"""Finished runs sorted by what they can speak of, and in which setting they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hisa_eval.errors import UserError
from hisa_eval.report.latency_study import Measured, load_latency
from hisa_eval.report.longbench import GENERATED
from hisa_eval.report.study import Study, load_study
from hisa_eval.run.store import MANIFEST
from hisa_eval.run.sweep import FILE as SWEEP_FILE

KINDS = ("niah", "longbench", "fidelity", "latency", "sweep", "attention")
DUMP = ".safetensors"
_OTHER_NAMES = {"benchmarks": "latency", GENERATED: "longbench"}
_PAPER_MODELS = {"deepseek-v3.2": "DeepSeek-V3.2", "glm-5": "GLM-5"}


@dataclass(frozen=True)
class Sources:
    """Folders by kind, in the order given.

    Attributes:
        folders: Kind -> folders; a dump of inputs is a file.
        studies: Kind -> one study of each run with samples.
        measured: Latency measurements.
    """

    folders: Mapping[str, Sequence[Path]]
    studies: Mapping[str, Sequence[Study]] = field(default_factory=dict)
    measured: Sequence[Measured] = ()

    def first(self, kind: str) -> Path | None:
        """The first folder of a kind."""
        return next(iter(self.folders.get(kind, ())), None)


def kind_of(path: Path) -> str:
    """Which kind of run a folder holds; a `.safetensors` file is one of recorded attention.

    Raises:
        UserError: it is none that the paper's figures are drawn from.
    """
    if path.suffix == DUMP and path.is_file():
        return "attention"
    if (path / SWEEP_FILE).is_file():
        return "sweep"
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(
            f"{path} is no finished run ({MANIFEST} cannot be read)",
            "give folders of hisa-eval niah, longbench, fidelity, latency or sweep, or a dump's file",
        ) from None
    command = manifest.get("command") if isinstance(manifest, dict) else None
    kind = _OTHER_NAMES.get(str(command), command)
    if kind not in KINDS:
        raise UserError(
            f"{path} is a run of {command}, which the paper has no figure of",
            "give runs of niah, longbench, fidelity, latency or sweep",
        )
    return str(kind)


def read_sources(paths: Sequence[Path]) -> Sources:
    """Sort and read runs.

    Raises:
        UserError: a path is none of the kinds, is damaged, or is given twice.
    """
    folders: dict[str, list[Path]] = {}
    for place, path in enumerate(paths):
        if path.resolve() in {one.resolve() for one in paths[:place]}:
            raise UserError(f"{path} is given twice", "name each run once")
        folders.setdefault(kind_of(path), []).append(path)
    studies: dict[str, list[Study]] = {
        kind: [load_study([path]) for path in folders.get(kind, ())] for kind in ("niah", "longbench")
    }
    return Sources(folders, studies, [load_latency(path) for path in folders.get("latency", ())])


def setting(manifest: Mapping[str, Any]) -> str:
    """On what a run was made, and that it is not the paper's setting where it is not.

    Args:
        manifest: Of the run.
    """
    model = manifest.get("model") or {}
    name = str(model.get("name") or (manifest.get("settings") or {}).get("model") or "")
    device = manifest.get("device") or {}
    where = "CPU" if device.get("type") == "cpu" else str(device.get("name") or "a server")
    mini = manifest.get("command") == GENERATED
    parts = [part for part in (name, where, f"{GENERATED} is not LongBench" if mini else "") if part]
    text = ", ".join(parts)
    return text if paper_model(name) and not mini else f"{text}: not the paper's setting"


def latency_setting(manifest: Mapping[str, Any], queries: int) -> str:
    """The same of a latency measurement."""
    device = manifest.get("device") or {}
    name = str(device.get("name") or "unknown device")
    if device.get("type") == "cpu":
        return f"reference operators on a CPU, {queries:,} queries: not the paper's setting"
    return f"{name}, {queries:,} queries" + ("" if "A100" in name else "; the paper's is an A100")


def paper_model(name: str) -> str | None:
    """Which of the paper's models a name stands for, if any."""
    lowered = name.lower().rstrip("/").rpartition("/")[2]
    return next((title for start, title in _PAPER_MODELS.items() if lowered.startswith(start)), None)


def pick(labels: Sequence[str], name: str) -> str | None:
    """The series that stands for one of the paper's methods: its plain form, else the first of that name."""
    own = [one for one in labels if one.split(":")[0].split(" ")[0] == name]
    return next((one for one in own if one == name), own[0] if own else None)
