"""Haystacks by name, and folders of text files."""

from __future__ import annotations

from hisa_tasks.niah.haystacks.base import Haystack
from hisa_tasks.niah.haystacks.needles import Needles
from hisa_tasks.niah.haystacks.noise import Noise
from hisa_tasks.niah.haystacks.prose import Prose

HAYSTACKS: dict[str, Haystack] = {haystack.name: haystack for haystack in (Prose(), Noise(), Needles())}


def find_haystack(name: str) -> Haystack:
    """A haystack.

    Args:
        name: Of a shipped haystack, or the path of a folder of UTF-8 text files.

    Returns:
        The haystack.

    Raises:
        ValueError: No such haystack or folder, or the folder has no usable text.
    """
    if name in HAYSTACKS:
        return HAYSTACKS[name]
    raise ValueError(f"unknown haystack {name!r} – known: {', '.join(HAYSTACKS)}, or a folder of text files")
