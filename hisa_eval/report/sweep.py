"""A sweep as one table: accuracy, fidelity and cost of every variant, and which of them nothing beats."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hisa_eval.report.accuracy import grouped_scores
from hisa_eval.report.fidelity_rows import load_compared, records
from hisa_eval.report.files import PAGE, write_file
from hisa_eval.report.numbers import NOTHING, length_label, share
from hisa_eval.report.study import load_study
from hisa_eval.report.table import Cell, Table
from hisa_eval.run.store import RunStore
from hisa_eval.run.sweep import read_sweep
from hisa_eval.stats.interval import mean_interval
from hisa_eval.stats.rows import row_figure

QUALITIES = ("recall", "kept", "score")
"""Columns that a front is drawn for: recall of DSA's keys, needles kept of DSA's, needles found."""


COUNTS = ("contexts", "rows_beyond", "n_kept_of")
"""Columns that only compared variants have."""


def load_sweep(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Every variant of a sweep, by token budget and length.

    Returns:
        A frame with accuracy, fidelity, cost and `front_<quality>`, and the sweep's own file.

    Raises:
        UserError: the folder holds no sweep.
    """
    facts = read_sweep(folder)
    rows: list[dict[str, Any]] = []
    for part in facts["parts"]:
        own = _fidelity(folder / part["fidelity"], int(part["topk"]))
        if part["accuracy"] and (folder / part["accuracy"] / "samples.jsonl").is_file():
            scores = _scores(folder / part["accuracy"])
            own = [{**row, **scores.get((row["indexer"], row["length"]), {})} for row in own]
            for one in part.get("asked_alone", ()):
                score = scores.get((one["indexer"], one["length"]))
                own += [{**one, "topk": int(part["topk"]), **score}] if score else []
        rows += own
    frame = pd.DataFrame(rows)
    if not len(frame):
        return frame, facts
    # Variants that were asked for needles alone have no counts of compared rows.
    frame = frame.astype(dict.fromkeys(COUNTS, "Int64"))
    labels = list(dict.fromkeys(zip(frame["indexer"], frame["topk"], strict=True)))
    frame["variant"] = [labels.index(key) for key in zip(frame["indexer"], frame["topk"], strict=True)]
    for quality in QUALITIES:
        if quality in frame:
            frame[f"front_{quality}"] = False
            for _, group in frame.groupby(["length", "topk"]):
                frame.loc[_front(group, quality), f"front_{quality}"] = True
    return frame, facts


def _fidelity(folder: Path, topk: int) -> list[dict[str, Any]]:
    compared = load_compared(folder)
    costs = _costs(folder)
    found = []
    for key, group in compared.rows.groupby(["indexer", "length"], sort=True, observed=True):
        label, length = str(key[0]), int(str(key[1]))
        last = compared.last[(compared.last["indexer"] == label) & (compared.last["length"] == length)]
        part = group[group["beyond"]]
        beyond = row_figure(part["recall"].to_numpy(), list(part["context"]), percentile=False)
        every = row_figure(group["recall"].to_numpy(), list(group["context"]), percentile=False)
        # In a model of several layers a needle counts as kept where any layer that DSA finds it in keeps it.
        fate = last.assign(mine=last["evidence"] > 0, flat=last["evidence_of_flat"] > 0)
        by_context = fate.groupby("context")[["mine", "flat"]].any()
        kept = mean_interval(by_context.loc[by_context["flat"], "mine"].astype(float).tolist())
        found.append(
            {
                "indexer": label,
                "topk": topk,
                "length": length,
                "contexts": every.n_contexts,
                "rows_beyond": beyond.n_rows,
                # The same rows for every variant, so that variants can be compared.
                "recall": every.mean,
                "recall_low": every.low,
                "recall_high": every.high,
                "beyond": beyond.mean,
                "beyond_low": beyond.low,
                "beyond_high": beyond.high,
                "kept": kept.mean,
                "kept_low": kept.low,
                "kept_high": kept.high,
                "n_kept_of": int(by_context["flat"].sum()),
                **costs[label, length],
            }
        )
    return found


def _costs(folder: Path) -> dict[tuple[str, int], dict[str, float]]:
    """Scored keys and selecting seconds, means over contexts, and both over flat DSA's."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for record in RunStore.read(folder).records():
        if record["status"] == "ok":
            groups.setdefault((record["indexer"], int(record["length"])), []).append(record["details"])
    found = {}
    for (label, length), group in groups.items():
        flat = groups[("dsa", length)]
        keys = [one["scored_keys"] for one in group]
        known = math.nan if None in keys else float(np.mean(keys))
        base = float(np.mean([one["scored_keys"] for one in flat]))
        seconds = float(np.median([one["select_seconds"] for one in group]))
        found[label, length] = {
            "scored_keys": known,
            "cost": known / base,
            "select_seconds": seconds,
        }
    return found


def _scores(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    scores = grouped_scores(load_study([folder]), ["length"])
    return {
        (row["indexer"], int(row["length"])): {
            "score": row["score"],
            "score_low": row["ci_low"],
            "score_high": row["ci_high"],
            "n": int(row["n"]),
        }
        for row in records(scores)
    }


def _front(group: pd.DataFrame, quality: str) -> list[Any]:
    """Rows that no other beats: none is as cheap and better, or cheaper and as good."""
    known = group[group["cost"].notna() & group[quality].notna()]
    order = known.sort_values(["cost", quality], ascending=[True, False])
    kept, best = [], -math.inf
    for index, value in zip(order.index, order[quality], strict=True):
        if value > best:
            kept.append(index)
            best = value
    return kept


def sweep_table(frame: pd.DataFrame, facts: dict[str, Any]) -> Table:
    """Every variant with its accuracy, fidelity and cost.

    Args:
        frame: From `load_sweep`.
        facts: Likewise.
    """
    rows = []
    for row in records(frame):
        fronts = [name for name in QUALITIES if row.get(f"front_{name}")]
        rows.append(
            [
                Cell(str(row["variant"]), row["variant"]),
                Cell(str(row["indexer"])),
                Cell(f"{row['topk']:,}", row["topk"]),
                Cell(length_label(row["length"]), row["length"]),
                _share(row, "cost", bounds=False),
                _known(row["select_seconds"], f"{row['select_seconds'] * 1000:,.0f}"),
                _known(row["contexts"], str(row["contexts"])),
                _share(row, "recall"),
                _share(row, "beyond"),
                _share(row, "kept"),
                _share(row, "score") if "score" in row else Cell(NOTHING, -1.0),
                Cell("" if pd.isna(row.get("n")) else str(int(row["n"])), row.get("n")),
                Cell(", ".join(fronts)),
            ]
        )
    notes = [
        "Cost: vectors that a query is scored against over flat DSA's, at the end of the context; an upper "
        "bound for adaptive budgets and rescues, the mean over layers or steps where some take over from "
        "others. It counts arithmetic and says nothing about kernels: see "
        "hisa-eval latency. Milliseconds: of selecting for the compared rows on this machine.",
        "Recall: of flat DSA's keys on all compared rows, the same for every variant; beyond: on rows that "
        "see more keys than the variant's own exact range. Kept: contexts in "
        "which some layer of the answering row selects the answer, of those in which flat DSA does. Front: "
        "the qualities for which no variant of the same k is as cheap and better. 95 % intervals.",
    ]
    alone = list(
        dict.fromkeys(one["indexer"] for part in facts["parts"] for one in part.get("asked_alone", ()))
    )
    if alone:
        notes.append(f"Asked for needles alone, as they act while decoding: {', '.join(alone)}.")
    if facts["skipped"]:
        notes.append(f"Left out: {'; '.join(name for name, _ in facts['skipped'])} (cannot fill k).")
    return Table(
        "sweep",
        "Accuracy, fidelity and cost",
        [
            *("no.", "indexer", "k", "length", "cost", "ms", "contexts"),
            *("recall", "recall beyond", "needles kept", "needles found", "n", "front"),
        ],
        rows,
        frame,
        notes,
        n_keys=4,
    )


def _share(row: dict[str, Any], name: str, *, bounds: bool = True) -> Cell:
    value = row[name]
    if pd.isna(value):
        return Cell(NOTHING, -1.0)
    text = f"{value:.3f}" if not bounds else share(value, 3)
    if bounds and not math.isnan(row[f"{name}_low"]):
        text += f" [{share(row[f'{name}_low'], 3)}, {share(row[f'{name}_high'], 3)}]"
    return Cell(text, value)


def _known(value: Any, text: str) -> Cell:
    return Cell(NOTHING, -1.0) if pd.isna(value) else Cell(text, value)


def build_sweep_report(folder: Path) -> tuple[Table | None, list[Path]]:
    """Write the page, the table and a figure of the fronts into the sweep's folder.

    Returns:
        The table, None where nothing has finished, and all paths.
    """
    from functools import partial

    from hisa_eval.report.figures.pareto import draw_fronts
    from hisa_eval.report.figures.theme import render
    from hisa_eval.report.page import html_page, inline
    from hisa_eval.report.page.sweep import sweep_page

    frame, facts = load_sweep(folder)
    if not len(frame):
        return None, []
    table = sweep_table(frame, facts)
    written = table.write(folder / "tables")
    pictures = []
    for topk, own in frame.groupby("topk"):
        rendered = render(partial(draw_fronts, own))
        written += rendered.write(folder / "figures" / f"pareto-k{topk}")
        alt = f"Accuracy and fidelity over cost at k = {topk:,}, with the variants that nothing beats"
        pictures.append(inline(rendered, f"pareto-k{topk}", alt))
    page = html_page(sweep_page(folder, frame, facts, table, pictures))
    written.append(write_file(folder / PAGE, page))
    return table, written


def as_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON types, missing values as None."""
    found: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
    return found
