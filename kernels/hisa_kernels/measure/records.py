"""The file that a measurement leaves: one JSON line a method and case, written as soon as it is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RECORDS = "records.jsonl"
MANIFEST = "manifest.json"
FORMAT_VERSION = 1

STATUSES = {
    "ok": "passed the gate and was timed",
    "red": "gave a wrong choice; never timed",
    "failed": "raised an error",
    "crashed": "took the device context or the process with it",
    "unavailable": "cannot take part here",
}

_BEGUN = "begun"


class Records:
    """The lines of one folder. A line that says a measurement began and has no end was a crash.

    Args:
        folder: Where `records.jsonl` is or will be.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORDS
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = list(read_lines(self.path))

    def known(self, key: str) -> bool:
        """Whether a measurement was begun, in this process or an earlier one."""
        return any(line["key"] == key for line in self._lines)

    def begin(self, key: str, facts: dict[str, Any]) -> None:
        """Say that a measurement starts."""
        self._append({"key": key, "status": _BEGUN, **facts})

    def end(self, key: str, record: dict[str, Any]) -> None:
        """Say how it ended."""
        self._append({"key": key, **record})

    def _append(self, line: dict[str, Any]) -> None:
        self._lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def finished(self) -> list[dict[str, Any]]:
        """One record a measurement, in the order in which they began."""
        return merge(self._lines)


def read_lines(path: Path) -> Iterable[dict[str, Any]]:
    """The whole lines of a file; a last one that a crash cut short is passed over."""
    if not path.is_file():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except ValueError:
            continue


def merge(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One record a key: its end, or a crash where there is none."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        found[line["key"]] = line
    return [
        {**line, "status": "crashed", "reason": "the process ended in the middle of it"}
        if line["status"] == _BEGUN
        else line
        for line in found.values()
    ]


COLUMNS = (
    "method", "family", "mode", "inputs", "queries", "context", "heads", "dim", "dtype", "topk",
    "block_size", "blocks_a_query", "status", "stage", "ms", "p10", "p90", "passes", "floor_ms",
    "tflops", "peak_bytes", "overlap", "outside_ties", "blocks_outside_ties", "relative_error", "reason",
)  # fmt: skip


def flat_rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, one row a stage and one for the total, for CSV files and data frames."""
    rows = []
    for record in records:
        case = {name: record["case"].get(name) for name in COLUMNS if name in record["case"]}
        gate = {name: value for name, value in record.get("gate", {}).items() if name in COLUMNS}
        common = {
            "method": record["method"],
            "family": record["family"],
            **case,
            **gate,
            "blocks_a_query": record["case"].get("most_blocks"),
            "status": record["status"],
            "reason": record.get("reason", ""),
        }
        parts = [*record.get("stages", ()), {"name": "total", **record.get("total", {})}]
        for part in parts:
            timed = {name: part.get(name) for name in ("ms", "p10", "p90", "passes", "floor_ms")}
            if part.get("flop") and part.get("ms"):
                timed["tflops"] = part["flop"] / part["ms"] / 1e9
            row = {**common, "stage": part["name"], **timed}
            if part["name"] == "total":
                row["peak_bytes"] = record.get("peak_bytes")
            rows.append(row)
    return rows


def write_csv(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """`flat_rows` as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(flat_rows(records))
