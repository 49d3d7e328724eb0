"""A haystack of one's own: the text files of a folder."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.haystacks.base import Haystack, HaystackText
from hisa_tasks.niah.haystacks.sentences import sentence_starts
from hisa_tasks.niah.needles.base import NeedleFamily, NeedleSet

SUFFIXES = (".txt", ".md")
_GAP = "\n\n"


@dataclass(frozen=True)
class Folder(Haystack):
    """The files of a folder, sorted by name, an empty line between them, over and over.

    Each sample starts at another sentence. Line ends become `\\n`, white space at line ends goes, and runs of
    empty lines become one.

    Args:
        name: `dir-` and the folder's own name.
        sha256: Of the text, in UTF-8.
        n_files: Files that were read.
        corpus: The text.
        starts: Where its sentences begin.
    """

    name: str
    sha256: str
    n_files: int
    corpus: str = field(repr=False, compare=False)
    starts: tuple[int, ...] = field(repr=False, compare=False)
    summary: str = "the text files of a folder"

    def open(self, family: NeedleFamily, needles: NeedleSet, *parts: str | int) -> HaystackText:
        """See `Haystack.open`."""
        cycle = self.corpus + _GAP
        first = Draws("folder", *parts).choice(self.starts)

        def grow(n_chars: int, missing: int) -> tuple[list[str], list[int]]:
            pieces: list[str] = []
            starts: list[int] = []
            end = n_chars + missing
            while n_chars < end:
                begin = (first + n_chars) % len(cycle)
                stop = min(len(cycle), begin + end - n_chars)
                pieces.append(cycle[begin:stop])
                inside = self.starts[bisect_left(self.starts, begin) : bisect_left(self.starts, stop)]
                starts += [n_chars + start - begin for start in inside]
                n_chars += stop - begin
            return pieces, starts

        return HaystackText(grow, " ")

    def filler(self, following: str) -> str:
        """See `Haystack.filler`."""
        return following

    def mentions(self, text: str) -> bool:
        """See `Haystack.mentions`."""
        return text in self.corpus

    def describe(self) -> dict[str, Any]:
        """See `Haystack.describe`."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "n_files": self.n_files,
            "n_chars": len(self.corpus),
        }


def load_folder(path: str | Path) -> Folder:
    """Reads a folder of text files (`.txt`, `.md`) into a haystack; subfolders and hidden files are left out.

    Args:
        path: Of the folder.

    Returns:
        The haystack.

    Raises:
        ValueError: The folder is missing, has no such file, only white space, or a file that is not UTF-8.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ValueError(f"haystack folder {folder} {what} – give a folder that holds .txt or .md files")
    files = sorted(
        (
            f
            for f in folder.iterdir()
            if f.suffix.lower() in SUFFIXES and not f.name.startswith(".") and f.is_file()
        ),
        key=lambda file: file.name,
    )
    if not files:
        raise ValueError(f"haystack folder {folder} has no .txt or .md file – put UTF-8 text files into it")
    corpus = _GAP.join(text for text in (_read(file) for file in files) if text)
    if not corpus:
        raise ValueError(
            f"haystack folder {folder} has only white space in its text files – put text into them"
        )
    name = re.sub(r"[^\w.-]+", "-", folder.resolve().name).strip("-") or "root"
    sha256 = hashlib.sha256(corpus.encode("utf-8")).hexdigest()
    return Folder(f"dir-{name}", sha256, len(files), corpus, tuple(sentence_starts(corpus)))


def _read(file: Path) -> str:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(
            f"haystack file {file} cannot be read: {error.strerror} – make it readable, or remove it"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"haystack file {file} is not UTF-8: byte {error.start} cannot be decoded – save it as UTF-8 "
            f"(iconv -f WINDOWS-1252 -t UTF-8), or remove it"
        ) from None
    lines = (line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return re.sub(r"\n{3,}", _GAP, "\n".join(lines)).strip()
