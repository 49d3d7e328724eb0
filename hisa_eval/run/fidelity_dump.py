"""The inputs of a planned comparison as files: of one context, or of every one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hisa_eval.errors import UserError
from hisa_eval.run.canonical import sample_key
from hisa_eval.run.fidelity import PlannedFidelity, Tell, decides_inputs
from hisa_eval.run.fidelity_place import Place
from hisa_eval.run.runner import reason_of

if TYPE_CHECKING:
    from hisa_eval.fidelity.frame import Frame


def dump_longest(run: PlannedFidelity, file: Path) -> dict[str, Any]:
    """Write the inputs of the longest context; the file appears whole or not at all.

    Args:
        run: A checked comparison.
        file: Safetensors file.

    Returns:
        What was written, for people.

    Raises:
        UserError: the file cannot be written.
    """
    place = max(run.source.places, key=lambda one: one.length)
    run.source.open()
    frames = run.source.frames(place)
    facts = _facts(run, place)
    _write(file, frames, facts)
    shape = {"layers": len(frames), "rows": len(frames[0].q), "keys": len(frames[0].k)}
    return {"file": str(file), **facts, **shape}


def dump_all(
    run: PlannedFidelity, folder: Path, tell: Tell = lambda place, done, total: None
) -> dict[str, Any]:
    """Write the inputs of every context, a file each; those that are there already are kept.

    Args:
        run: A checked comparison.
        folder: Where the files go, made if need be. A file appears whole or not at all.
        tell: Hears of every context that is about to be written.

    Returns:
        `folder`, `files` by name, and how many were `written` and `kept`; JSON types only.

    Raises:
        UserError: the folder cannot be written, a file holds other inputs, or a context cannot be captured;
            finished files stay.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder", "name another folder, or drop the slash")
    places = {folder / file_name(place): place for place in run.source.places}
    facts = {file: _facts(run, place) for file, place in places.items()}
    missing = [file for file in places if not _is_there(file, facts[file]["key"])]
    if missing:
        run.source.open()
    for number, file in enumerate(missing):
        tell(places[file], number, len(missing))
        try:
            frames = run.source.frames(places[file])
        except Exception as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"{file.name} cannot be made: {reason_of(error)}",
                "ask for what can be; finished files are kept and not made again",
            ) from error
        _write(file, frames, facts[file])
    names = sorted(file.name for file in places)
    return {
        "folder": str(folder),
        "files": names,
        "written": len(missing),
        "kept": len(names) - len(missing),
    }


def file_name(place: Place) -> str:
    """Name of a context's file; names sort by kind of inputs, length, depth and sample."""
    depth = "" if place.depth is None else f"-d{place.depth:06.2f}"
    return f"{place.task.rpartition('/')[2]}-{place.length:07d}{depth}-s{place.sample:04d}.safetensors"


def _facts(run: PlannedFidelity, place: Place) -> dict[str, Any]:
    """Metadata: where the inputs come from, and the `key` of all that decides them."""
    settings, context = run.settings, run.source.facts(place)
    return {
        "source": place.task,
        "model": settings.model if place.task == "fidelity/niah" else "",
        "context": context["sample_id"],
        "topk": run.answerer.topk,
        "length": place.length,
        **({} if place.depth is None else {"depth": place.depth}),
        "key": sample_key(decides_inputs(run, place, context)),
    }


def _is_there(file: Path, key: str) -> bool:
    """Whether a finished file holds the inputs of that key.

    Raises:
        UserError: it holds others.
    """
    from hisa_eval.fidelity.dump_file import read_facts

    if not file.exists():
        return False
    if read_facts(file).get("key") != key:
        raise UserError(
            f"{file} holds inputs of other settings", "name another folder, or delete it; nothing was written"
        )
    return True


def _write(file: Path, frames: list[Frame], facts: Mapping[str, Any]) -> None:
    from hisa_eval.fidelity.dump_file import write_dump

    if file.is_dir():
        write_dump(file, frames, facts)  # says what is wrong
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        write_dump(unfinished, frames, facts)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
