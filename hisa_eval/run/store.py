"""The folder of a run: a manifest and one durable line per finished sample.

Layout: `manifest.json`, `samples.jsonl`, and beside them what `hisa_eval.report` derives from the two.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from hisa_eval.errors import UserError
from hisa_eval.run.canonical import canonical_json
from hisa_eval.run.manifest import check_format, conflict, new_manifest, resumed_manifest
from hisa_eval.run.record import check_record
from hisa_eval.run.samples_file import append_line, parse_samples

MANIFEST = "manifest.json"
SAMPLES = "samples.jsonl"
_TEMPORARY = ".manifest-"


class RunStore:
    """A run on disk; build it with `create_or_open` or `read`.

    Attributes:
        path: The run's folder.
        manifest: Facts on the run, see `hisa_eval.run.manifest`.
        resumed: The folder held this run already.
        warnings: What had to be repaired or passed over, in one line each.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], *, resumed: bool = False) -> None:
        self.path = path
        self.manifest = manifest
        self.resumed = resumed
        self.warnings: list[str] = []
        self._latest: dict[str, dict[str, Any]] = {}
        self._descriptor: int | None = None

    @classmethod
    def preflight(
        cls, path: str | Path, settings: Mapping[str, Any], environment: Mapping[str, Any] | None = None
    ) -> None:
        """Raise what `create_or_open` would raise about the folder's content, and write nothing.

        Args:
            path: The run's folder.
            settings: Every setting of the run, JSON types only.
            environment: Identity facts, as far as they are known already.

        Raises:
            UserError: the folder holds something else, or cannot be made.
        """
        path = Path(path)
        manifest = _load_manifest(path)
        if manifest is not None:
            _refuse_other_run(path, manifest, settings, environment or {})
            parse_samples(path / SAMPLES)
        probe = path
        while not probe.exists():
            probe = probe.parent
        if not probe.is_dir() or not os.access(probe, os.W_OK | os.X_OK):
            raise _unwritable(path, "permission denied" if probe.is_dir() else f"{probe} is not a folder")

    @classmethod
    def create_or_open(
        cls, path: str | Path, settings: Mapping[str, Any], environment: Mapping[str, Any]
    ) -> RunStore:
        """Start a run in a new folder, or take up the one that the folder holds.

        Args:
            path: The run's folder; parents are made.
            settings: Every setting of the run, JSON types only. What is part of a sample's key belongs in
                here too, so that a change is refused at the door.
            environment: From `hisa_eval.run.manifest.collect_environment`.

        Returns:
            A store that this process alone may append to, until `close` or its end.

        Raises:
            UserError: the folder cannot be written, holds something else or another run, is in use, or its
                samples are damaged.
        """
        path = Path(path)
        settings = json.loads(canonical_json(settings))
        environment = json.loads(canonical_json(environment))
        manifest = _load_manifest(path)
        if manifest is not None:
            _refuse_other_run(path, manifest, settings, environment)
        try:
            path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path / SAMPLES, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise _unwritable(path, error.strerror or str(error)) from error
        try:
            _lock(descriptor, path)
            manifest = _load_manifest(path)
            if manifest is not None:
                _refuse_other_run(path, manifest, settings, environment)
            store = cls(path, {}, resumed=manifest is not None)
            store._descriptor = descriptor
            store._load(repair=True)
            store.manifest = (
                new_manifest(settings, environment)
                if manifest is None
                else resumed_manifest(manifest, environment)
            )
            _write_manifest(path, store.manifest)
        except BaseException:
            os.close(descriptor)
            raise
        return store

    @classmethod
    def read(cls, path: str | Path) -> RunStore:
        """Open a run for reading; nothing is changed, a run in progress may be read.

        Raises:
            UserError: the folder is not a run, or its samples are damaged.
        """
        path = Path(path)
        if not path.is_dir():
            raise UserError(f"{path} is not a folder", "give the --out folder of a run")
        manifest = _load_manifest(path) if (path / MANIFEST).exists() else None
        if manifest is None:
            raise UserError(f"{path} holds no run ({MANIFEST} is missing)", "give the --out folder of a run")
        store = cls(path, manifest, resumed=True)
        store._load(repair=False)
        return store

    def done(self, key: str) -> bool:
        """Whether the sample with this key has a result; a failed one has not and is tried again."""
        record = self._latest.get(key)
        return record is not None and record.get("status") == "ok"

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one finished sample, on the disk when this returns; a later record of a key supersedes.

        Args:
            record: A `hisa_eval.run.record.SampleRecord`.

        Raises:
            ValueError: the record contradicts itself.
            UserError: the disk is full or gone.
        """
        if self._descriptor is None:
            raise ValueError(f"{self.path} is open for reading only")
        check_record(record)
        try:
            append_line(self._descriptor, record)
        except OSError as error:
            raise _unwritable(self.path, error.strerror or str(error)) from error
        self._latest[record["key"]] = dict(record)

    def records(self) -> list[dict[str, Any]]:
        """The last record of every key, in an order that does not depend on the order of the file."""
        return sorted(self._latest.values(), key=_order)

    def close(self) -> None:
        """Let another process write."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load(self, *, repair: bool) -> None:
        file = self.path / SAMPLES
        if not file.exists():
            return
        parsed = parse_samples(file)
        cut = file.stat().st_size - parsed.n_good_bytes
        if cut > 0:
            done = "removed it, its sample will be run again" if repair else "left it out"
            self._warn(f"the last line of {file} was cut off ({cut} bytes): {done}")
        if repair and self._descriptor is not None:
            if cut > 0:
                os.ftruncate(self._descriptor, parsed.n_good_bytes)
            elif not parsed.ends_with_newline:
                os.write(self._descriptor, b"\n")
            os.fsync(self._descriptor)
        for record in parsed.records:
            self._latest[record["key"]] = record

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        print(f"warning: {text}", file=sys.stderr)


def _order(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        record.get("task") or "",
        record["indexer"],
        record.get("length") or 0,
        -1.0 if record.get("depth") is None else float(record["depth"]),
        record.get("sample") or 0,
        record["sample_id"],
        record["key"],
    )


def _load_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest in `path`, None where a run may start there; raises where neither holds."""
    file = path / MANIFEST
    try:
        if not path.exists():
            return None
        if not path.is_dir():
            raise UserError(f"{path} is a file, not a folder", "choose another --out")
        if not file.exists():
            foreign = [entry.name for entry in sorted(path.iterdir()) if not _left_by_a_start(entry)]
            if foreign:
                raise UserError(
                    f"{path} is not empty and not a run (it holds {foreign[0]!r})",
                    "choose another --out; nothing was written",
                )
            return None
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(
            f"cannot read {path} ({why})", "choose another --out or mend its permissions"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{file} is not valid JSON", "restore it or choose another --out; nothing was written"
        ) from error
    check_format(manifest, file)
    return manifest


def _left_by_a_start(entry: Path) -> bool:
    """Whether a run that was killed before its manifest was in place can have left this behind."""
    if entry.name.startswith(_TEMPORARY):
        return True
    return entry.name == SAMPLES and entry.stat().st_size == 0


def _refuse_other_run(
    path: Path, manifest: Mapping[str, Any], settings: Mapping[str, Any], environment: Mapping[str, Any]
) -> None:
    found = conflict(manifest, settings, environment)
    if found:
        raise UserError(
            f"{path} holds another run: {found.name} is {found.old} there and {found.new} here",
            found.mend("run"),
        )


def _lock(descriptor: int, path: Path) -> None:
    """Take the folder for this process; the system lets go of it when the process ends, however it ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"another process is writing to {path}", "wait until it has ended, or choose another --out"
        ) from error
    except OSError as error:
        print(f"warning: {path} cannot be locked ({error.strerror}): run one process only", file=sys.stderr)


def _write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=path)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path / MANIFEST)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: Path, why: str) -> UserError:
    return UserError(
        f"cannot write to {path} ({why.lower()})", "choose another --out or mend its permissions"
    )
