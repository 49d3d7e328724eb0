"""What a run was: the facts that `manifest.json` keeps beside the samples."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import hisa_eval
from hisa_eval.errors import UserError
from hisa_eval.run.canonical import Difference, canonical_json, first_difference

FORMAT_VERSION = 1

_PACKAGES = (
    "hisa-eval",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "tilelang",
    "triton",
)
CLAIM = "HISA_EVAL_REVISION"
"""Names the revision of sources that were copied without their history."""

_SOURCES = ("hisa_eval", "kernels", "tasks")
_IDENTITY = ("command", "seed", "indexers", "task_data", "model")
_LATE = ("model", "device", "task_data")
_WHERE = ("versions", "git", "platform", "cpu", "device")


def now() -> str:
    """The time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that can change a number, none of them imported."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found.setdefault("hisa-eval", hisa_eval.__version__)
    return found


def git_facts(package: Path | None = None) -> dict[str, Any] | None:
    """Revision of the checkout that the package runs from, and whether its sources were changed.

    Args:
        package: Folder of the package; the running one by default.

    Returns:
        `{"revision", "dirty"}`. Where the package is not tracked by git, the revision is what the environment
        variable `HISA_EVAL_REVISION` claims, dirty is None (nobody looked), and None is returned without it.
    """
    package = package or Path(hisa_eval.__file__).parent
    claimed = os.environ.get(CLAIM)
    untracked = {"revision": claimed, "dirty": None} if claimed else None
    try:
        if not _git(package, "ls-files", "--", "__init__.py"):
            return untracked
        root = package.parent
        revision = _git(root, "rev-parse", "HEAD")
        dirty = bool(_git(root, "status", "--porcelain", "--", *_SOURCES))
    except (OSError, subprocess.SubprocessError):
        return untracked
    return {"revision": revision, "dirty": dirty}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def cpu_facts() -> dict[str, Any]:
    """Processor name, and the cores that this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"name": name, "cores": usable}


def collect_environment(
    *,
    command: str,
    model: Mapping[str, Any] | None = None,
    device: Mapping[str, Any] | None = None,
    task_data: str | Mapping[str, Any] | None = None,
    indexers: Sequence[Mapping[str, Any]] = (),
    seed: int = 0,
    argv: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Everything that a manifest says beside the settings.

    Args:
        command: The command's name, e.g. `"niah"`.
        model: What the model says of itself (`Model.describe`).
        device: Facts on the device.
        task_data: Hash of the data that the task draws on.
        indexers: `{"label", "settings"}` of every indexer, in the order of the tables.
        seed: The run's seed.
        argv: Arguments as typed, program name left out; those of this process by default.
    """
    return {
        "command": command,
        "argv": ["hisa-eval", *(sys.argv[1:] if argv is None else argv)],
        "versions": versions(),
        "git": git_facts(),
        "platform": platform.platform(),
        "cpu": cpu_facts(),
        "device": dict(device) if device is not None else None,
        "model": dict(model) if model is not None else None,
        "task_data": task_data,
        "indexers": [dict(one) for one in indexers],
        "seed": seed,
    }


def new_manifest(settings: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run that starts now."""
    facts = {name: value for name, value in environment.items() if name != "argv"}
    started = now()
    return {
        "format_version": FORMAT_VERSION,
        **facts,
        "settings": dict(settings),
        "created": started,
        "sessions": [{"started": started, "argv": list(environment.get("argv", ()))}],
    }


def resumed_manifest(manifest: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """`manifest` with one session more; what changed since the first one is written down with it.

    A first session that was killed before its model was loaded could not describe it: that is filled in.
    """
    late = {name: environment[name] for name in _LATE if manifest.get(name) is None and environment.get(name)}
    manifest = {**manifest, **late}
    changed = {
        name: environment[name]
        for name in _WHERE
        if name in environment and canonical_json(environment[name]) != canonical_json(manifest.get(name))
    }
    session: dict[str, Any] = {"started": now(), "argv": list(environment.get("argv", ()))}
    if changed:
        session["changed"] = changed
    return {**manifest, "sessions": [*manifest["sessions"], session]}


def check_format(manifest: Any, path: Path) -> None:
    """Refuse a manifest that this version cannot read.

    Raises:
        UserError: not a manifest, or of another format.
    """
    if not isinstance(manifest, dict) or not {"format_version", "settings", "sessions"} <= set(manifest):
        raise UserError(f"{path} is not the manifest of a run", "give a folder that hisa-eval made")
    if manifest["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{path} has format {manifest['format_version']!r}, this hisa-eval reads {FORMAT_VERSION}",
            "use the hisa-eval version that made it",
        )


def conflict(
    manifest: Mapping[str, Any], settings: Mapping[str, Any], environment: Mapping[str, Any]
) -> Difference | None:
    """The first setting or identity fact in which a run on record differs from the one asked for.

    Facts that either side lacks (a model not loaded yet) are passed over, and so is the device: that may
    change between sessions.
    """
    found = first_difference(manifest["settings"], settings)
    if found:
        return found
    for name in _IDENTITY:
        old, new = manifest.get(name), environment.get(name)
        if old is None or new is None:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            shared = (set(old) & set(new)) - {"device"}
            old, new = ({key: side[key] for key in shared} for side in (old, new))
        found = first_difference(old, new, name)
        if found:
            return found
    return None
