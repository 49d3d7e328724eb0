"""Tables on the selection itself, and on time."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from hisa_eval.report.numbers import NOTHING, length_label, seconds, share
from hisa_eval.report.study import Study
from hisa_eval.report.table import Cell, Table


def fidelity_table(data: pd.DataFrame) -> Table | None:
    """Agreement with flat DSA by layer and length; None where nothing was probed.

    Args:
        data: From `hisa_eval.report.fidelity.fidelity`.
    """
    if not len(data):
        return None
    shown = ("iou_all", "iou_p5_all", "iou_min_all", "recall_all", "recall_min_all")
    beyond = ("iou_beyond", "iou_p5_beyond", "iou_min_beyond", "recall_beyond", "recall_min_beyond")
    rows = [
        [
            Cell(str(row["indexer"])),
            Cell(length_label(row["length"]), row["length"]),
            Cell(str(row["layer"]), row["layer"]),
            _count(row["rows_all"]),
            *(_share(row[name]) for name in shown),
            _count(row["rows_beyond"]),
            *(_share(row[name]) for name in beyond),
            _share(row["last_row_iou"]),
        ]
        for row in data.to_dict("records")
    ]
    figures = ["IoU", "IoU p5", "IoU min", "recall", "recall min"]
    return Table(
        "fidelity",
        "Agreement with flat DSA's selection",
        [
            "indexer",
            "length",
            "layer",
            "rows",
            *figures,
            "rows beyond",
            *(f"{name} beyond" for name in figures),
            "last row IoU",
        ],
        rows,
        data,
        [
            "Means are over query rows. Beyond: rows that see more keys than the range in which the indexer "
            "selects as flat DSA does by construction (m·B keys for HISA).",
            f"{NOTHING} stands where there is no such row. A value below 1 is never rounded up to 1.",
        ],
        n_keys=3,
    )


def evidence_table(data: pd.DataFrame) -> Table | None:
    """Whether the answer's text was selected; None where nothing was probed.

    Args:
        data: From `hisa_eval.report.fidelity.evidence`.
    """
    if not len(data):
        return None
    rows = [
        [
            Cell(str(row["indexer"])),
            Cell(length_label(row["length"]), row["length"]),
            Cell("best", 2**31) if pd.isna(row["layer"]) else Cell(str(row["layer"]), int(row["layer"])),
            _share(row["evidence"]),
            _count(row["n"]),
            _share(row["evidence_right"]),
            _count(row["n_right"]),
            _share(row["evidence_wrong"]),
            _count(row["n_wrong"]),
        ]
        for row in data.to_dict("records")
    ]
    return Table(
        "evidence",
        "Was the answer's text selected?",
        ["indexer", "length", "layer", "selected", "n", "when right", "n right", "when not", "n not"],
        rows,
        data,
        [
            "Share of the answer's tokens that the answering rows selected, mean over samples; "
            "best: the layer that selected most of them, sample by sample. Right means full score.",
        ],
        n_keys=3,
    )


def seconds_table(study: Study) -> Table:
    """Wall time by length; kept apart because it is the one table that differs between equal runs."""
    ok = study.samples[study.samples["status"] == "ok"]
    data = pd.DataFrame(
        [
            {"indexer": label, "length": length, **_times(group)}
            for label in study.labels
            for length in study.lengths
            if len(group := ok[(ok["series"] == label) & (ok["length"] == length)])
        ]
    )
    names = ("prefill_whole", "prefill_shared", "decode", "decode_per_token", "build")
    rows = [
        [
            Cell(str(row["indexer"])),
            Cell(length_label(row["length"]), row["length"]),
            _count(row["n_whole"]),
            Cell(seconds(row["prefill_whole_seconds"]), _sortable(row["prefill_whole_seconds"])),
            _count(row["n_shared"]),
            *(Cell(seconds(row[f"{name}_seconds"]), _sortable(row[f"{name}_seconds"])) for name in names[1:]),
        ]
        for row in data.to_dict("records")
    ]
    return Table(
        "seconds",
        "Seconds by length",
        [
            "indexer",
            "length",
            "n whole",
            "prefill, whole",
            "n shared",
            "prefill, shared prefix",
            "decode",
            "decode per token",
            "build",
        ],
        rows,
        data,
        [
            "Mean wall time per sample. Shared: part of the prompt was kept from the sample before. "
            "These are the times of a quality run, not a benchmark.",
        ],
        n_keys=2,
    )


def _times(group: pd.DataFrame) -> dict[str, Any]:
    shared = group["n_reused_tokens"].fillna(0) > 0
    tokens = group["n_generated"].sum()
    return {
        "n_whole": int((~shared).sum()),
        "prefill_whole_seconds": group.loc[~shared, "prefill_seconds"].mean(),
        "n_shared": int(shared.sum()),
        "prefill_shared_seconds": group.loc[shared, "prefill_seconds"].mean(),
        "decode_seconds": group["decode_seconds"].mean(),
        "decode_per_token_seconds": group["decode_seconds"].sum() / tokens if tokens else math.nan,
        "build_seconds": group["build_seconds"].mean(),
    }


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", int(value))


def _share(value: float) -> Cell:
    return Cell(share(value, 3), _sortable(value))


def _sortable(value: float) -> float:
    return -1.0 if math.isnan(value) else value
