"""Where the rows come from: a folder, a zip archive, one file, or the hub's archive."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from hisa_tasks.longbench import hub
from hisa_tasks.longbench.catalog import DATASETS, EXTENDED
from hisa_tasks.longbench.rows import Row, parse_rows

_ARCHIVE = "data.zip"
_SHOWN = 6
"""Data sets that an error names."""


@dataclass(frozen=True)
class Loaded:
    """The rows of one data set.

    Attributes:
        name: Of the data set.
        rows: In the file's order.
        where: The file, for people.
        sha256: Of the file's bytes.
    """

    name: str
    rows: tuple[Row, ...]
    where: str
    sha256: str


@dataclass(frozen=True)
class DataFiles:
    """A folder of `NAME.jsonl` files (or with them in `data/`, or with `data.zip`), a zip archive of such
    files, or one such file.

    Args:
        path: Of any of these.

    Raises:
        ValueError: There is nothing at the path, or it is none of these.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.exists():
            raise ValueError(f"there is no data at {self.path} – {how_to_get(hub.LONGBENCH)}")
        if self.path.is_file() and self.path.suffix != ".jsonl" and not zipfile.is_zipfile(self.path):
            raise ValueError(
                f"{self.path} is neither a folder, a zip archive nor a .jsonl file – "
                f"{how_to_get(hub.LONGBENCH)}"
            )

    @cached_property
    def archive(self) -> Path | None:
        """The zip archive that holds the files, None where they lie open."""
        if self.path.is_file():
            return None if self.path.suffix == ".jsonl" else self.path
        inside = self.path / _ARCHIVE
        open_files = any(self.path.glob("*.jsonl")) or any(self.path.glob("data/*.jsonl"))
        return inside if inside.is_file() and not open_files else None

    def names(self) -> tuple[str, ...]:
        """Data sets for which there is a file, known or not, sorted."""
        if self.archive is not None:
            with self._open_archive() as archive:
                return tuple(sorted(PurePosixPath(one).stem for one in _members(archive)))
        if self.path.is_file():
            return (self.path.stem,)
        return tuple(
            sorted({one.stem for one in (*self.path.glob("*.jsonl"), *self.path.glob("data/*.jsonl"))})
        )

    def read(self, file: str) -> tuple[bytes, str]:
        """Bytes of a file and where they are from.

        Args:
            file: Such as `"qasper.jsonl"`.

        Raises:
            ValueError: It is missing or cannot be read.
        """
        if self.archive is not None:
            return self._read_member(file)
        places = [self.path] if self.path.is_file() else [self.path / file, self.path / "data" / file]
        for place in places:
            if place.name == file and place.is_file():
                try:
                    return place.read_bytes(), str(place)
                except OSError as error:
                    why = (error.strerror or str(error)).lower()
                    raise ValueError(f"cannot read {place} ({why}) – mend its permissions") from None
        raise ValueError(f"{file} is not in {self.path} – {how_to_get(hub.LONGBENCH)}{self._what_is_there()}")

    def _what_is_there(self) -> str:
        """The data sets that could be asked instead, for a message; empty where there are none."""
        known = [name for name in self.names() if name in (*DATASETS, *EXTENDED)]
        shown = ",".join(known[:_SHOWN]) + (",..." if len(known) > _SHOWN else "")
        return f", or ask what is there with --tasks {shown}" if known else ""

    def _open_archive(self) -> zipfile.ZipFile:
        assert self.archive is not None
        try:
            return zipfile.ZipFile(self.archive)
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.archive} is damaged ({error}) – {how_to_get(hub.LONGBENCH)}") from None

    def _read_member(self, file: str) -> tuple[bytes, str]:
        with self._open_archive() as archive:
            for member in _members(archive):
                if PurePosixPath(member).name == file:
                    try:
                        return archive.read(member), f"{self.archive}:{member}"
                    except (OSError, zipfile.BadZipFile, RuntimeError, EOFError) as error:
                        raise ValueError(
                            f"{self.archive} is damaged at {member} ({error}) – {how_to_get(hub.LONGBENCH)}"
                        ) from None
        raise ValueError(
            f"{file} is not in {self.archive} – {how_to_get(hub.LONGBENCH)}{self._what_is_there()}"
        )


def load(names: Iterable[str], data: str | Path | None, *, partial: bool = False) -> dict[str, Loaded]:
    """Read data sets.

    Args:
        names: Of data sets, LongBench-E's with "_e".
        data: A folder, archive or file (see `DataFiles`); None for the hub's archive at its pinned revision,
            out of the cache where it is there.
        partial: Take files with another number of rows than the official ones.

    Returns:
        What was read, by name.

    Raises:
        ValueError: A file is missing, damaged or not whole: which, why, and how to get it.
    """
    files = DataFiles(Path(data).expanduser() if data is not None else hub.fetch(hub.LONGBENCH))
    found = {}
    for name in names:
        content, where = files.read(f"{name}.jsonl")
        digest = hashlib.sha256(content).hexdigest()
        found[name] = Loaded(name, parse_rows(content, name, where, partial=partial), where, digest)
    return found


def how_to_get(source: hub.HubFile) -> str:
    """How to mend missing data."""
    return f"get {source.url} and give its place with --data"


def _members(archive: zipfile.ZipFile) -> list[str]:
    """Data files of an archive, without what some systems add to archives."""
    return [name for name in archive.namelist() if name.endswith(".jsonl") and "__MACOSX" not in name]
