"""Haystacks by name, and folders of text files."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from hisa_tasks.niah.haystacks.base import Haystack
from hisa_tasks.niah.haystacks.folder import load_folder
from hisa_tasks.niah.haystacks.needles import Needles
from hisa_tasks.niah.haystacks.noise import Noise
from hisa_tasks.niah.haystacks.prose import Prose

HAYSTACKS: dict[str, Haystack] = {haystack.name: haystack for haystack in (Prose(), Noise(), Needles())}


def find_haystack(name: str) -> Haystack:
    """A haystack.

    Args:
        name: Of a shipped haystack, or the path of a folder of UTF-8 text files. A shipped name wins; a
            folder of that name is reached as `./name`.

    Returns:
        The haystack.

    Raises:
        ValueError: No such haystack or folder, or the folder has no usable text.
    """
    if name in HAYSTACKS:
        return HAYSTACKS[name]
    if Path(name).exists() or os.sep in name or "/" in name or not name:
        return load_folder(name)
    close = difflib.get_close_matches(name, HAYSTACKS, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(
        f"unknown haystack {name!r}, and no such folder – {hint}"
        f"known: {', '.join(HAYSTACKS)}, or a folder of text files"
    )
