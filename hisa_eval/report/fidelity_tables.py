"""Tables of a comparison of selections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hisa_eval.report.fidelity_cells import interval_cell, key_cells, mean_cell, minimum_cell
from hisa_eval.report.fidelity_rows import METRICS, Compared, figures, records, scoped
from hisa_eval.report.numbers import NOTHING
from hisa_eval.report.table import Cell, Table
from hisa_eval.stats.interval import mean_interval
from hisa_eval.stats.rows import RatioFigure, ratio_figure

HEADINGS = {
    "iou": "IoU",
    "recall": "recall",
    "mass": "score mass",
    "attention": "attention",
    "top1": "top-1 kept",
}
INTERVALS = (
    "In brackets 95 % intervals with whole contexts as units (Student for means, bootstrap for the 5th "
    "percentile); none with a single context, or where all rows are equal."
)
EXACT = (
    "Beyond: rows that see more keys than the range in which the indexer selects as flat DSA does by "
    "construction (m·B keys for HISA)."
)


def agreement_table(compared: Compared) -> Table:
    """Every metric by inputs, indexer and length, layers pooled, on all rows and beyond the exact range."""
    by = ["inputs", "indexer", "length", "scope"]
    data = figures(scoped(compared.rows), by, compared.metrics)
    return Table(
        "agreement",
        f"Agreement with flat DSA's selection, layers pooled{_ran(compared)}",
        [*("inputs", "indexer", "length", "rows of"), *_headings(compared)],
        _agreement_rows(data, by, compared.metrics),
        data,
        [
            "Score mass: positive index score of the selection over that of flat DSA's. Attention: share of "
            "the row's dense attention (mean over heads) that the selection holds; flat DSA's own stands in "
            "its rows. Top-1 kept: rows whose best-scored key was selected.",
            *_about_running(compared),
            EXACT,
            INTERVALS,
        ],
        n_keys=4,
    )


def layer_table(compared: Compared) -> Table:
    """The same by layer."""
    by = ["inputs", "indexer", "layer", "length", "scope"]
    data = figures(scoped(compared.rows), by, compared.metrics)
    return Table(
        "agreement-by-layer",
        f"Agreement with flat DSA's selection by layer{_ran(compared)}",
        [*("inputs", "indexer", "layer", "length", "rows of"), *_headings(compared)],
        _agreement_rows(data, by, compared.metrics),
        data,
        [*_about_running(compared), EXACT, INTERVALS],
        n_keys=5,
    )


def position_table(compared: Compared) -> Table:
    """IoU and recall by where in its context the query stands."""
    by = ["inputs", "indexer", "length", "quarter"]
    data = figures(compared.rows, by, ["iou", "recall"])
    rows = [
        [
            *key_cells(key, by),
            Cell(f"{row['iou']['n_rows']:,}"),
            mean_cell(row["iou"]),
            minimum_cell(row["iou"]),
            mean_cell(row["recall"]),
        ]
        for key, row in _grouped(data, by)
    ]
    return Table(
        "agreement-by-position",
        "Agreement by the query's place in its context",
        ["inputs", "indexer", "length", "query in", "rows", "IoU", "IoU min", "recall"],
        rows,
        data,
        [INTERVALS],
        n_keys=4,
    )


def distance_table(compared: Compared) -> Table:
    """Recall of flat DSA's keys by their distance from the query."""
    by = ["inputs", "indexer", "length", "distance"]
    found = []
    for key, group in (
        compared.distances.groupby(by, sort=True, observed=True) if len(compared.distances) else ()
    ):
        counts = group.groupby("context")[["kept", "wanted"]].sum()
        if counts["wanted"].sum():
            ratio = ratio_figure(counts["kept"].to_numpy(), counts["wanted"].to_numpy())
            found.append({**dict(zip(by, key, strict=True)), **ratio._asdict()})
    data = pd.DataFrame(found, columns=[*by, *RatioFigure._fields])
    rows = [
        [*key_cells([row[name] for name in by], by), Cell(f"{row['n']:,}", row["n"]), mean_cell(row)]
        for row in records(data)
    ]
    return Table(
        "recall-by-distance",
        "Recall of flat DSA's keys by distance",
        ["inputs", "indexer", "length", "distance", "keys", "recall"],
        rows,
        data,
        [
            "Distance: tokens between the query and the key; each class ends where the next begins. Keys: "
            "how many flat DSA selected there, over all compared rows and layers.",
            INTERVALS,
        ],
        n_keys=4,
    )


def needle_table(compared: Compared) -> Table | None:
    """What became of the answer's tokens in the answering row; None where no context has an answer."""
    known = compared.last.dropna(subset=["evidence"]) if len(compared.last) else compared.last
    if not len(known):
        return None
    by = ["inputs", "indexer", "layer", "length"]
    found = [
        {**dict(zip(by, key, strict=True)), **_fate(group)}
        for key, group in known.groupby(by, sort=True, observed=True)
    ]
    data = pd.DataFrame(found)
    rows = [
        [
            *key_cells([row[name] for name in by], by),
            Cell(str(row["n"]), row["n"]),
            *(
                interval_cell({**row, "low": row[f"{n}_low"], "high": row[f"{n}_high"]}, n)
                for n in ("missed", "missed_flat")
            ),
            Cell(str(row["n_lost_of"]), row["n_lost_of"]),
            interval_cell({**row, "low": row["lost_low"], "high": row["lost_high"]}, "lost"),
            interval_cell({"tokens": row["tokens"], "low": math.nan}, "tokens"),
            interval_cell({"iou": row["iou"], "low": math.nan}, "iou"),
        ]
        for row in records(data)
    ]
    return Table(
        "needles",
        f"Was the needle missed?{_ran(compared)}",
        [
            *("inputs", "indexer", "layer", "length", "contexts"),
            *("missed", "missed by DSA", "DSA's", "lost of DSA's", "tokens kept", "IoU of the row"),
        ],
        rows,
        data,
        [
            f"Of {compared.answering}; of recorded or made-up inputs it is their last row. Missed: contexts "
            "in which it can attend to none of the answer's tokens. Lost: of the contexts in which flat DSA "
            "selects one, those in which this indexer selects none. Tokens kept: mean share of the answer's "
            "tokens selected. Wilson intervals over contexts.",
        ],
        n_keys=4,
    )


def _fate(group: pd.DataFrame) -> dict[str, Any]:
    mine, flat = group["evidence"] > 0, group["evidence_of_flat"] > 0
    found: dict[str, Any] = {"n": len(group), "n_lost_of": int(flat.sum())}
    for name, values in (("missed", ~mine), ("missed_flat", ~flat), ("lost", ~mine[flat])):
        mean, low, high, _ = mean_interval(values.astype(float).tolist())
        found |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return {**found, "tokens": float(group["evidence"].mean()), "iou": float(group["iou"].mean())}


def certificate_table(compared: Compared) -> Table | None:
    """Rows that an exact indexer needed no rescue for; None where there is none."""
    by = ["inputs", "indexer", "layer", "length"]
    found = []
    if len(compared.certificates):
        for key, group in compared.certificates.groupby(by, sort=True, observed=True):
            counts = group.groupby("context")[["certified", "pruned"]].sum()
            if counts["pruned"].sum():
                ratio = ratio_figure(counts["certified"].to_numpy(), counts["pruned"].to_numpy())
                found.append({**dict(zip(by, key, strict=True)), **ratio._asdict()})
    if not found:
        return None
    data = pd.DataFrame(found)
    rows = [
        [*key_cells([row[name] for name in by], by), Cell(f"{row['n']:,}", row["n"]), mean_cell(row)]
        for row in records(data)
    ]
    return Table(
        "certificates",
        "Rows that needed no rescue",
        [*by, "rows beyond", "certified"],
        rows,
        data,
        ["The rest was selected again by flat DSA, at its whole cost.", INTERVALS],
        n_keys=4,
    )


def noise_table(compared: Compared) -> Table | None:
    """IoU of each indexer with itself when only rounding changes; None where it was not measured."""
    names = (
        [str(name) for name in compared.rows if str(name).startswith("noise_")] if len(compared.rows) else []
    )
    if not names:
        return None
    by = ["inputs", "indexer", "length"]
    data = figures(compared.rows, by, names)
    rows = [
        [
            *key_cells(row[: len(by)], by),
            Cell(str(row[len(by)]).removeprefix("noise_")),
            Cell(f"{figure['n_rows']:,}"),
            mean_cell(figure),
            interval_cell({**figure, "low": figure["p5_low"], "high": figure["p5_high"]}, "p5"),
            minimum_cell(figure),
        ]
        for row, figure in ((tuple(r[n] for n in [*by, "metric"]), r) for r in records(data))
    ]
    return Table(
        "noise-floor",
        f"Noise floor: the same indexer on rounded inputs{_ran(compared)}",
        ["inputs", "indexer", "length", "rounded to", "rows", "IoU", "IoU p5", "IoU min"],
        rows,
        data,
        [
            "An IoU with flat DSA means nothing above this. f32: nothing but the order of sums is another; "
            "fp8: e4m3, one scale a key and one a query head; kernel: a GPU kernel against the reference "
            "operator, both from bf16 inputs; run: what the model's own pass selected, chunk by chunk, "
            "against the selection for the sampled rows alone.",
            INTERVALS,
        ],
        n_keys=4,
    )


def _grouped(
    data: pd.DataFrame, by: Sequence[str]
) -> list[tuple[tuple[Any, ...], dict[str, dict[str, Any]]]]:
    """Figures of a group by metric."""
    groups: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in records(data):
        groups.setdefault(tuple(row[name] for name in by), {})[str(row["metric"])] = row
    return list(groups.items())


def _ran(compared: Compared) -> str:
    """End of a title where something else than flat DSA ran the model."""
    return "" if compared.run_with == "dsa" else f" (the model ran with {compared.run_with})"


def _headings(compared: Compared) -> list[str]:
    found = [
        "rows",
        "contexts",
        "IoU",
        "IoU p5",
        "IoU min",
        "recall",
        "score mass",
        "attention",
        "top-1 kept",
    ]
    return found if compared.run_with == "dsa" else [*found, "IoU with own"]


def _about_running(compared: Compared) -> list[str]:
    if compared.run_with == "dsa":
        return []
    return [f"IoU with own: with the selection of {compared.run_with}, which ran the model."]


def _agreement_rows(
    data: pd.DataFrame, by: Sequence[str], metrics: Sequence[str] = METRICS
) -> list[list[Cell]]:
    rows = []
    for key, found in _grouped(data, by):
        iou = found["iou"]
        p5 = {**iou, "low": iou["p5_low"], "high": iou["p5_high"]}
        rest = [
            mean_cell(found[name]) if name in found else Cell(NOTHING, -1.0)
            for name in metrics
            if name != "iou"
        ]
        counts = [Cell(f"{iou['n_rows']:,}", iou["n_rows"]), Cell(str(iou["n_contexts"]), iou["n_contexts"])]
        rows.append(
            [*key_cells(key, by), *counts, mean_cell(iou), interval_cell(p5, "p5"), minimum_cell(iou), *rest]
        )
    return rows
