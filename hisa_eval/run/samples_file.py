"""`samples.jsonl`: reading it back after anything, and appending to it so that nothing is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hisa_eval.errors import UserError


class Parsed(NamedTuple):
    """What a samples file holds."""

    records: list[dict[str, Any]]
    n_good_bytes: int
    """Everything behind this offset is a line that was cut off while being written."""
    ends_with_newline: bool


def parse_samples(path: Path) -> Parsed:
    """Read every record; a cut-off last line is left out.

    Raises:
        UserError: a complete line is not a record.
    """
    data = path.read_bytes()
    *lines, tail = data.split(b"\n")
    records = [_record(line, path, number) for number, line in enumerate(lines, start=1)]
    end = len(data) - len(tail)
    if not tail:
        return Parsed(records, end, True)
    try:
        last = json.loads(tail)
    except ValueError:
        return Parsed(records, end, True)
    if not isinstance(last, dict) or "key" not in last:
        return Parsed(records, end, True)
    return Parsed([*records, last], len(data), False)


def _record(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or "key" not in record:
        raise UserError(
            f"{path} line {number} is damaged and not the last one, so it was not a crash of hisa-eval",
            "restore the file, or delete that line and give the same command again to redo its sample",
        )
    return record


def append_line(descriptor: int, record: Mapping[str, Any]) -> None:
    """Write one record and return only when it is on the disk.

    Args:
        descriptor: File opened for appending.
        record: JSON types only.

    Raises:
        ValueError: a float is NaN or infinite.
        OSError: the disk is full or gone.
    """
    line = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    left = memoryview(line.encode("utf-8", errors="surrogatepass") + b"\n")
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)
