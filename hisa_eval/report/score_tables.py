"""Tables of scores: by length and indexer, and against flat DSA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from hisa_eval.report.accuracy import differences, grouped_scores
from hisa_eval.report.numbers import NOTHING, depth_label, length_label, share, signed
from hisa_eval.report.study import Study
from hisa_eval.report.table import Cell, Table

ALL_LENGTHS = "all"


def accuracy_table(study: Study) -> Table:
    """Mean score by length and indexer."""
    by_length = grouped_scores(study, ["length"])
    overall = grouped_scores(study, [])
    data = pd.concat([by_length, overall], ignore_index=True)
    data = data.drop(columns=["prefill_seconds", "decode_seconds"]).astype({"length": "Int64"})
    rows = []
    for length in [*study.lengths, None]:
        part = data[data["length"].isna() if length is None else data["length"] == length]
        found = {str(row["indexer"]): row for row in part.to_dict("records")}
        rows.append([*length_cells(study, length), *(score_cell(found.get(label)) for label in study.labels)])
    notes = ["Mean score with its 95% interval; n counts the samples that were scored."]
    if data["n_failed"].sum():
        notes.append("Failed samples are counted apart and are in no mean.")
    if any(suite.startswith(("longbench", "mini")) for suite in study.suites):
        notes.append("A row of a data set counts under the power of two that holds its prompt and answer.")
    return Table(
        "accuracy",
        "Accuracy by length",
        ["length", "tokens sent", *study.labels],
        rows,
        data,
        [*notes, methods_note(data)],
        n_keys=2 + len(study.labels),
    )


def difference_table(study: Study) -> Table | None:
    """Each indexer against flat DSA on the same samples; None where there is nothing to compare."""
    data = differences(study)
    if not len(data):
        return None
    rows = [
        [
            Cell(str(row["indexer"])),
            length_cell(row["length"]),
            *difference_cells(row),
        ]
        for row in data.to_dict("records")
    ]
    return Table(
        "difference",
        "Difference to flat DSA on the same samples",
        ["indexer", "length", "pairs", "difference", "95% interval", "better", "worse", "p"],
        rows,
        data,
        [
            "Mean of paired score differences with a bootstrap interval over the pairs (from ten pairs that "
            "do not all differ alike); p is the exact two-sided sign test.",
        ],
        n_keys=2,
    )


def failure_table(study: Study) -> Table | None:
    """Every sample without a score, and why; None where there is none."""
    data = study.samples.loc[
        study.samples["status"] == "failed", ["sample_id", "series", "length", "depth", "reason"]
    ]
    if not len(data):
        return None
    rows = [
        [
            Cell(str(row["sample_id"])),
            Cell(str(row["series"])),
            Cell("", -1) if pd.isna(row["length"]) else length_cell(row["length"]),
            Cell("", -1) if pd.isna(row["depth"]) else Cell(depth_label(row["depth"]), row["depth"]),
            Cell(str(row["reason"])),
        ]
        for row in data.to_dict("records")
    ]
    columns = ["sample", "indexer", "length", "depth", "reason"]
    return Table("failures", "Failed samples", columns, rows, data, n_keys=5)


def difference_cells(row: Mapping[Any, Any]) -> list[Cell]:
    """Pairs, difference, interval, better, worse and p of a row of `report.accuracy.differences`."""
    return [
        Cell(str(row["n_pairs"]), row["n_pairs"]),
        Cell(signed(row["difference"]), row["difference"]),
        Cell(_interval(row["ci_low"], row["ci_high"], signed)),
        Cell(str(row["n_better"]), row["n_better"]),
        Cell(str(row["n_worse"]), row["n_worse"]),
        Cell(f"{row['sign_test_p']:.2g}", row["sign_test_p"]),
    ]


def length_cells(study: Study, length: int | None) -> list[Cell]:
    """The length asked for, and the tokens really sent."""
    sent = study.tokens(length) if length is not None else None
    if sent is None:
        return [length_cell(length), Cell(NOTHING, 0)]
    low, high = sent
    return [length_cell(length), Cell(f"{low:,}" if low == high else f"{low:,}–{high:,}", low)]


def length_cell(length: int | None) -> Cell:
    """The length asked for, or `all`."""
    if length is None or pd.isna(length):
        return Cell(ALL_LENGTHS, 2**62)
    return Cell(length_label(int(length)), int(length))


def score_cell(row: Mapping[Any, Any] | None, *, cut: bool = False) -> Cell:
    """A mean with its interval and counts.

    Args:
        row: Fields as in `hisa_eval.report.accuracy.score_row`; None where nothing was run.
        cut: Also count the answers that ended at the generation limit.
    """
    if row is None:
        return Cell(NOTHING, -1)
    if not row["n"]:
        return Cell(f"failed ({row['n_failed']})", -1)
    failed = f", {row['n_failed']} failed" if row["n_failed"] else ""
    ended = f", {row['n_length_finishes']} cut" if cut and row["n_length_finishes"] else ""
    interval = _interval(row["ci_low"], row["ci_high"], share)
    return Cell(f"{share(row['score'])} {interval} n={row['n']}{ended}{failed}", row["score"])


def _interval(low: float, high: float, form: Callable[[float], str]) -> str:
    if pd.isna(low) or pd.isna(high):
        return NOTHING
    return f"[{form(low)}, {form(high)}]"


def methods_note(data: pd.DataFrame) -> str:
    """Which intervals a table holds."""
    names = {
        "wilson": "Wilson (pass or fail)",
        "bootstrap": "BCa bootstrap (partial credit)",
        "wilson-bound": "Wilson's as an upper bound (partial credit, too few or too equal to resample)",
    }
    used = [text for name, text in names.items() if (data["ci_method"] == name).any()]
    return f"Intervals: {'; '.join(used)}." if used else "No sample was scored."
