"""What `hisa-eval latency` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hisa_eval.cli.output import print_json, print_note, print_table
from hisa_eval.report.numbers import length_label

WRONG = ("red", "failed", "crashed")


def make_teller(*, silent: bool) -> Callable[[dict[str, Any]], None]:
    """A line on standard error for every measurement."""

    def tell(record: dict[str, Any]) -> None:
        if silent:
            return
        case = record.get("case", {})
        where = f" at {length_label(case['context'])}, {case['mode']}" if case else ""
        found = f"{record['total']['ms']:.3f} ms" if record["status"] == "ok" else record["status"].upper()
        reason = f" ({record['reason']})" if record.get("reason") else ""
        print_note(f"{record['method']}{where}: {found}{reason}")

    return tell


def show_latency(folder: Path, *, as_json: bool, quiet: bool) -> int:
    """Write tables and figures of a folder and print the tables; how many measurements went wrong."""
    from hisa_eval.report.latency import build_latency_report
    from hisa_eval.report.latency_study import load_latency

    measured = load_latency(folder)
    tables, written = build_latency_report(measured)
    wrong = [record for record in measured.records if record["status"] in WRONG]
    if as_json:
        print_json(
            {
                "command": "latency",
                "dir": str(folder),
                "files": [str(path) for path in written],
                "device": measured.manifest.get("device"),
                "results": measured.records,
            }
        )
        return len(wrong)
    for table in tables:
        if table.name.startswith("stages") and quiet:
            continue
        print_table(
            table.columns,
            [[cell.text for cell in row] for row in table.rows],
            title=table.title,
            right=table.columns[table.n_keys :],
        )
        for note in table.notes:
            print(note)
        print()
    for record in wrong:
        case = record["case"]
        where = f"{length_label(case['context'])}, {case['mode']}"
        print_note(f"{record['status'].upper()}: {record['method']} at {where}: {record['reason']}")
    print(f"results: {folder}")
    return len(wrong)


def show_dump(written: Mapping[str, Any], *, as_json: bool) -> None:
    """Say what a file of inputs holds."""
    if as_json:
        print_json(dict(written))
        return
    print(
        f"{written['file']}: {written['queries']} queries and {written['tokens']} keys "
        f"of {written['model']}, layer {written['layer']}"
    )
