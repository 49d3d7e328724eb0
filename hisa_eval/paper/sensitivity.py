"""Figure 5: scores by configuration of the indexer, the same number of candidates throughout."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from hisa_eval.paper.figures import draw_dots
from hisa_eval.paper.item import Item
from hisa_eval.paper.pairs import claim
from hisa_eval.paper.published import CATEGORIES, SENSITIVITY
from hisa_eval.paper.scores import category_means, where_of
from hisa_eval.paper.sources import pick, setting
from hisa_eval.paper.verdict import Claim, better, close, missing
from hisa_eval.report.numbers import length_label
from hisa_eval.report.page import Picture
from hisa_eval.report.study import Study
from hisa_eval.report.sweep import load_sweep, sweep_table
from hisa_eval.report.table import Cell, Table
from hisa_eval.run.store import RunStore

NAME = "F5"
TITLE = "Sensitivity to block size and number of blocks"
FINE, PLAIN, COARSE = SENSITIVITY
QUALITIES = {"recall": "recall of DSA's keys", "kept": "needles kept", "score": "needles found"}


def sensitivity_item(studies: Sequence[Study], sweeps: Sequence[Path]) -> Item:
    """Figure 5 from LongBench runs with several configurations, and the same from sweeps."""
    pictures: dict[str, Picture] = {}
    tables: list[Table] = []
    claims: list[Claim] = []
    for study in studies:
        means = category_means(study)
        if means is None or sum(label.split(":")[0] == "hisa" for label in study.labels) < 2:
            continue
        where = where_of(study)
        data = means[means["column"].isin(CATEGORIES)]
        name = f"F5-sensitivity{f'-{len(pictures) + 1}' if pictures else ''}"
        there = [column for column in CATEGORIES if (data["column"] == column).any()]
        pictures[name] = Picture(
            partial(draw_dots, data, there, "score", where), "Score by category and configuration"
        )
        tables.append(_means_table(name, means, study, where))
        claims += _claims(study, where)
    for number, folder in enumerate(sweeps, 1):
        frame, facts = load_sweep(folder)
        if not len(frame):
            continue
        where = setting(RunStore.read(folder / facts["parts"][0]["fidelity"]).manifest)
        name = "F5-sweep" if len(sweeps) == 1 else f"F5-sweep-{number}"
        table = sweep_table(frame, facts)
        title = f"Figure 5's configurations by selection and needles ({where})"
        tables.append(Table(name, title, table.columns, table.rows, table.data, table.notes, table.n_keys))
        for (length, topk), own in _groups(frame):
            long, there = _long(own)
            note = f"{length_label(length)}, k = {topk}; n: contexts. {where}"
            pictures[f"{name}-{length_label(length)}-k{topk}"] = Picture(
                partial(draw_dots, long, there, "share", note),
                f"Keys and needles kept by configuration at {length_label(length)}",
            )
    if not claims:
        claims = [
            missing(NAME, said, "LongBench with several of HISA's configurations") for said in _SAID.values()
        ]
    return Item(NAME, TITLE, pictures, tables, claims, "" if pictures else "No such run was given.")


_SAID = {
    "coarse": "blocks of 64 and 128 score higher than blocks of 256 (Figure 5)",
    "close": "every configuration of HISA is close to DSA (Figure 5)",
    "block": "Block-Sparse scores lowest (Figure 5)",
}


def _claims(study: Study, where: str) -> list[Claim]:
    labels = study.labels
    dsa, block = pick(labels, "dsa"), pick(labels, "block-sparse")
    own = [label for label in SENSITIVITY if label in labels] or [
        label for label in labels if label.split(":")[0] == "hisa"
    ]
    claims = []
    if COARSE in own:
        claims += [
            claim(NAME, f"{_SAID['coarse']}: {label}", study, (label, COARSE), better, where)
            for label in own
            if label in (FINE, PLAIN)
        ]
    claims += [claim(NAME, f"{_SAID['close']}: {label}", study, (label, dsa), close, where) for label in own]
    claims += [
        claim(NAME, f"{_SAID['block']}: {label}", study, (label, block), better, where) for label in own
    ]
    return claims


def _means_table(name: str, means: pd.DataFrame, study: Study, where: str) -> Table:
    columns = list(dict.fromkeys(means["column"]))
    rows = []
    for label in study.labels:
        found = means[means["indexer"] == label].set_index("column")
        cells = []
        for column in columns:
            row = found.loc[column]
            bounds = f" [{row['ci_low']:.2f}, {row['ci_high']:.2f}]" if pd.notna(row["ci_low"]) else ""
            n = "" if pd.isna(row["n"]) else f" n={int(row['n'])}"
            cells.append(Cell(f"{row['score']:.2f}{bounds}{n}", float(row["score"])))
        rows.append([Cell(label), *cells])
    notes = ["95% intervals. The paper's bars are drawn only, without numbers."]
    return Table(
        name, f"Figure 5, scores by configuration ({where})", ["indexer", *columns], rows, means, notes
    )


def _groups(frame: pd.DataFrame) -> list[tuple[tuple[int, int], pd.DataFrame]]:
    keys = sorted(set(zip(map(int, frame["length"]), map(int, frame["topk"]), strict=True)))
    return [((a, b), frame[(frame["length"] == a) & (frame["topk"] == b)]) for a, b in keys]


def _long(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A sweep's qualities as rows of `draw_dots`."""
    counts = {"recall": "contexts", "kept": "n_kept_of", "score": "n"}
    parts = [
        pd.DataFrame(
            {
                "indexer": frame["indexer"],
                "column": title,
                "score": frame[name],
                "ci_low": frame[f"{name}_low"],
                "ci_high": frame[f"{name}_high"],
                "n": frame[counts[name]],
            }
        )
        for name, title in QUALITIES.items()
        if name in frame
    ]
    return pd.concat(parts, ignore_index=True), [QUALITIES[name] for name in QUALITIES if name in frame]
