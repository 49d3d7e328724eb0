"""The inputs of one context as a file, from the source of a planned comparison."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hisa_eval.run.fidelity import PlannedFidelity


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
    from hisa_eval.fidelity.dump_file import write_dump

    place = max(run.source.places, key=lambda one: one.length)
    run.source.open()
    frames = run.source.frames(place)
    facts = {
        "source": place.task,
        "model": run.settings.model if place.task == "fidelity/niah" else "",
        "context": run.source.facts(place)["sample_id"],
        "topk": run.answerer.topk,
    }
    if file.is_dir():
        write_dump(file, frames, facts)  # says what is wrong
    unfinished = file.with_name(f".{file.name}.unfinished")
    write_dump(unfinished, frames, facts)
    os.replace(unfinished, file)
    return {
        "file": str(file),
        **facts,
        "layers": len(frames),
        "rows": len(frames[0].q),
        "keys": len(frames[0].k),
    }
