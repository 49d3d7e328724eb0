"""Tables of an end-to-end measurement: times and memory, the gate, and where each indexer breaks even."""

from __future__ import annotations

import math

import pandas as pd

from hisa_eval.report.break_even import NONE, BreakEven, break_even
from hisa_eval.report.end_to_end import FIGURES, STOCK, EndToEnd, Timed
from hisa_eval.report.latency_tables import milliseconds
from hisa_eval.report.numbers import NOTHING, length_label, seconds
from hisa_eval.report.table import Cell, Table

_MIB = 2**20


def title_of(measured: EndToEnd) -> str:
    """Model, device and what every answer was, in one line."""
    manifest = measured.manifest
    settings, model = manifest["settings"], manifest.get("model") or {}
    device = manifest.get("device") or {}
    name = str(device.get("name", "unknown device"))
    if measured.on_cpu:
        name = f"CPU ({name}, {device.get('threads', '?')} threads)"
    return (
        f"{model.get('name', settings['model'])} on {name}, {settings['dtype']}, k = {settings['topk']}, "
        f"{settings['max_new_tokens']} tokens an answer, {settings['repetitions']} repetitions"
    )


def times_table(measured: EndToEnd) -> Table:
    """Time to first token, time per token, throughput and memory, by length and contestant."""
    rows, data = [], []
    for length in measured.lengths:
        for label in measured.labels:
            one = measured.cells[label, length]
            rows.append([Cell(length_label(length), length), Cell(label), *_time_cells(measured, one)])
            data.append(_time_data(measured, one))
    notes = [
        "Median over the repetitions, least to most in brackets; behind it how many times faster than flat "
        "DSA, the median over pairs of the same repetition. Tokens a second: of prompt and answer over the "
        "whole answer, one sequence at a time.",
        _memory_note(measured),
        "Gate: tokens that are flat DSA's up to the first that is not; held where the indexer must select as "
        "flat DSA does, free where it need not.",
    ]
    if STOCK in measured.labels:
        notes.append(
            f"{STOCK}: its own model, unchanged, with its own indexer and eager attention, in chunks of the "
            "same size."
        )
    return Table(
        "end-to-end",
        f"End to end, {title_of(measured)}",
        ["context", "indexer", "first token, s", "each token, ms", "tokens/s", "peak MiB", "gate"],
        rows,
        pd.DataFrame(data),
        notes,
        n_keys=2,
    )


def _memory_note(measured: EndToEnd) -> str:
    what = (
        "the whole process, all models loaded in it" if measured.on_cpu else "what is allocated on the device"
    )
    return f"Peak memory: {what}, in an answer that starts from empty buffers."


def _time_cells(measured: EndToEnd, one: Timed) -> list[Cell]:
    if not one.timed:
        return [Cell(NOTHING)] * 4 + [Cell(one.status.upper() if one.status != "missing" else one.status)]
    first, each = (_with_spread(measured, one, figure) for figure in ("first", "each"))
    peak = one.peak_bytes
    return [
        Cell(first, one.median("first")),
        Cell(each, one.median("each")),
        Cell(f"{one.throughput:,.0f}" if one.throughput >= 10 else f"{one.throughput:.2g}", one.throughput),
        Cell(NOTHING if peak is None else f"{peak / _MIB:,.0f}", peak),
        Cell("reference" if one.label == measured.flat else gate_word(one)),
    ]


def _with_spread(measured: EndToEnd, one: Timed, figure: str) -> str:
    shown = seconds if figure == "first" else _as_milliseconds
    low, high = one.spread(figure)
    text = f"{shown(one.median(figure))} [{shown(low)}, {shown(high)}]"
    ratio = measured.ratio(one.label, one.length, figure)
    return text if ratio is None or one.label == measured.flat else f"{text} {ratio[0]:.2f}×"


def _as_milliseconds(value: float) -> str:
    return milliseconds(1000 * value)


def gate_word(one: Timed) -> str:
    """How many tokens were flat DSA's up to the first other one, and whether they had to be (held) or not."""
    if one.status == "unchecked":
        return "unchecked"
    if one.same is None:
        return NOTHING
    return f"{one.same}/{one.n_new}" + (" held" if one.held else " free")


def _time_data(measured: EndToEnd, one: Timed) -> dict[str, object]:
    found: dict[str, object] = {
        "indexer": one.label,
        "context": one.length,
        "status": one.status,
        "reason": one.reason,
        "prompt_tokens": one.n_prompt,
        "new_tokens": one.n_new,
        "repetitions": len(one.seconds.get("first", {})),
        "decoding": one.decoding,
    }
    for figure in FIGURES:
        low, high = one.spread(figure)
        ratio = measured.ratio(one.label, one.length, figure) or (math.nan,) * 3
        found |= {
            f"{figure}_seconds": one.median(figure),
            f"{figure}_least": low,
            f"{figure}_most": high,
            f"{figure}_times_faster": ratio[0],
            f"{figure}_times_faster_least": ratio[1],
            f"{figure}_times_faster_most": ratio[2],
        }
    return found | {
        "tokens_per_second": one.throughput if one.timed else math.nan,
        "peak_bytes": one.peak_bytes,
        "held_to_dsa": one.held,
        "tokens_as_dsa": one.same,
    }


def gate_table(measured: EndToEnd) -> Table | None:
    """What went wrong, with its reason; None where nothing did."""
    cells = [one for one in measured.cells.values() if one.status != "ok"]
    if not cells:
        return None
    rows = [
        [
            Cell(length_label(one.length), one.length),
            Cell(one.label),
            Cell(one.status if one.status == "missing" else one.status.upper()),
            Cell(one.reason),
        ]
        for one in cells
    ]
    data = [
        {"context": one.length, "indexer": one.label, "status": one.status, "reason": one.reason}
        for one in cells
    ]
    return Table(
        "end-to-end-gate",
        "Without a time, or without a check",
        ["context", "indexer", "status", "reason"],
        rows,
        pd.DataFrame(data),
        n_keys=4,
    )


def break_evens(measured: EndToEnd) -> dict[str, dict[str, BreakEven]]:
    """Break-even with flat DSA by contestant and figure."""
    return {
        label: {
            figure: break_even(
                measured.lengths, [_median_ratio(measured, label, at, figure) for at in measured.lengths]
            )
            for figure in FIGURES
        }
        for label in measured.labels
        if label != measured.flat
    }


def _median_ratio(measured: EndToEnd, label: str, length: int, figure: str) -> float | None:
    found = measured.ratio(label, length, figure)
    return None if found is None else found[0]


def break_even_table(measured: EndToEnd) -> Table | None:
    """From which length on each contestant is faster than flat DSA; None where flat DSA is alone."""
    found = break_evens(measured)
    if not found:
        return None
    rows = [
        [Cell(label), *(_even_cell(measured, label, name, one) for name, one in by.items())]
        for label, by in found.items()
    ]
    data = [
        {
            "indexer": label,
            "figure": figure,
            "break_even_tokens": one.length,
            "measured_below": one.between[0] if one.between else None,
            "measured_above": one.between[1] if one.between else None,
            "faster_everywhere": one.always,
        }
        for label, by in found.items()
        for figure, one in by.items()
    ]
    shortest, longest = length_label(measured.lengths[0]), length_label(measured.lengths[-1])
    return Table(
        "break-even",
        f"Break-even with {measured.flat}, {shortest} to {longest}",
        ["indexer", *FIGURES.values()],
        rows,
        pd.DataFrame(data),
        [
            "The length from which on the median ratio stays above 1 up to the longest context, interpolated "
            "between two measured lengths (both in logarithms); nothing is extrapolated. Where an indexer "
            "selects as flat DSA does, the ratio is 1 but for the clock's noise. Within the spread: in some "
            "pair of repetitions flat DSA was as fast at a longer length."
        ],
        n_keys=1,
    )


def _even_cell(measured: EndToEnd, label: str, figure: str, one: BreakEven) -> Cell:
    if not one.always and (one.length is None or one.between is None):
        return Cell(NONE)
    first = measured.lengths[0] if one.between is None else one.between[1]
    ratios = [measured.ratio(label, length, figure) for length in measured.lengths if length >= first]
    sure = all(ratio is None or ratio[1] > 1 for ratio in ratios)
    note = "" if sure else ", within the spread"
    if one.length is None or one.between is None:
        return Cell(f"faster throughout, from {length_label(first)} or before{note}", 0)
    low, high = map(length_label, one.between)
    return Cell(f"{one.length / 1024:.3g}K (between {low} and {high}){note}", one.length)
