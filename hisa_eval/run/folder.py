"""Where a run lands when no folder is named: an unfinished run of the same settings, or a new folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from hisa_eval.errors import UserError
from hisa_eval.run.canonical import canonical_json, value_hash
from hisa_eval.run.samples_file import parse_samples
from hisa_eval.run.store import MANIFEST, SAMPLES


class Folder(NamedTuple):
    """The folder of a run.

    Attributes:
        path: Where it is or will be.
        resumed: It holds this very run, unfinished or finished.
    """

    path: Path
    resumed: bool


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Eight hex digits that are the same for the same settings, whatever the order of their keys."""
    return value_hash(settings)[:8]


def choose_folder(
    results: Path, command: str, settings: Mapping[str, Any], n_steps: int, *, resume: bool = True
) -> Folder:
    """The folder for a run that names none.

    Args:
        results: Where runs are kept.
        command: First part of the folder's name.
        settings: Every setting of the run, JSON types only.
        n_steps: Samples of the whole run, to tell a finished one.
        resume: Take up the newest unfinished run of the same settings.

    Returns:
        An unfinished run of these settings, or a new folder `<command>-<time>-<hash>`.
    """
    short = settings_hash(settings)
    if resume:
        for path in sorted(results.glob(f"{command}-*-{short}"), reverse=True):
            if _is_unfinished(path, settings, n_steps):
                return Folder(path, True)
    stem = f"{command}-{datetime.now():%Y%m%d-%H%M%S}"
    path = results / f"{stem}-{short}"
    number = 2
    while path.exists():
        path = results / f"{stem}.{number}-{short}"
        number += 1
    return Folder(path, False)


def named_folder(path: Path, *, resume: bool = True) -> Folder:
    """The folder that `--out` names.

    Args:
        path: As given.
        resume: Whether a run that is there already may be taken up.

    Raises:
        UserError: a run is there and may not be taken up.
    """
    there = (path / MANIFEST).is_file()
    if there and not resume:
        raise UserError(
            f"{path} holds a run already", "choose another --out, or drop --no-resume to finish it"
        )
    return Folder(path, there)


def _is_unfinished(path: Path, settings: Mapping[str, Any], n_steps: int) -> bool:
    """Whether `path` is a run of exactly these settings with samples left to do."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        records = parse_samples(path / SAMPLES).records
        same = canonical_json(manifest["settings"]) == canonical_json(settings)
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return False
    latest = {record["key"]: record.get("status") for record in records}
    return same and sum(status == "ok" for status in latest.values()) < n_steps
