"""Records as Markdown: totals by context, then stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def context_label(tokens: int) -> str:
    """`65536` as `64K`."""
    for unit, size in (("M", 1 << 20), ("K", 1 << 10)):
        if tokens >= size and tokens % size == 0:
            return f"{tokens // size}{unit}"
    return str(tokens)


def markdown(records: Sequence[dict[str, Any]]) -> str:
    """All tables of a measurement, one group for each shape of a batch."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        case = record["case"]
        title = (
            f"{case['queries']:,} queries, H = {case['heads']}, D = {case['dim']}, {case['dtype']}, "
            f"k = {case['topk']}, {case['inputs']} inputs, {case['kind']}"
        )
        groups.setdefault(title, []).append(record)
    return "\n".join(_group(title, own) for title, own in groups.items())


def _group(title: str, records: Sequence[dict[str, Any]]) -> str:
    contexts = sorted({record["case"]["context"] for record in records})
    names = list(dict.fromkeys((record["method"], record["case"]["mode"]) for record in records))
    found = {(r["method"], r["case"]["mode"], r["case"]["context"]): r for r in records}
    heads = ["ms, median [p10–p90]", "blocks", *map(context_label, contexts)]
    lines = [f"## {title}\n", _row(heads), _row(["---"] * len(heads))]
    for name, mode in names:
        cells = [_cell(found.get((name, mode, context))) for context in contexts]
        lines.append(_row([name, mode, *cells]))
    lines.append("\n| stages, median ms (floor) | | |\n|---|---|---|")
    lines += [_stages(record) for record in records if record["status"] == "ok"]
    notes = [
        f"- {r['method']}, {r['case']['mode']}, {context_label(r['case']['context'])}: "
        f"{r['status'].upper()}: {r.get('reason', '')}"
        for r in records
        if r["status"] != "ok"
    ]
    return "\n".join([*lines, "", *notes, ""])


def _cell(record: dict[str, Any] | None) -> str:
    if record is None:
        return ""
    if record["status"] != "ok":
        return record["status"].upper()
    total = record["total"]
    return f"{_ms(total['ms'])} [{_ms(total['p10'])}–{_ms(total['p90'])}]"


def _stages(record: dict[str, Any]) -> str:
    parts = []
    for stage in record["stages"]:
        floor = f" ({_ms(stage['floor_ms'])})" if stage.get("floor_ms") else ""
        rate = f" = {stage['flop'] / stage['ms'] / 1e9:.0f} TFLOP/s" if stage.get("flop") else ""
        parts.append(f"{stage['name']} {_ms(stage['ms'])}{floor}{rate}")
    gate = record["gate"]
    peak = record["peak_bytes"]
    shown = f"relative error {gate.get('relative_error', 0):.1e}"
    if "overlap" in gate:
        shown = f"overlap {gate['overlap']:.4%}, {gate['outside_ties']:.4%} outside ties"
    if peak is not None:
        shown += f"; peak {peak / 2**20:,.0f} MiB"
    case = record["case"]
    return _row(
        [f"{record['method']}, {case['mode']}, {context_label(case['context'])}", "; ".join(parts), shown]
    )


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
