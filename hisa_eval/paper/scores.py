"""Table 1: LongBench by category, model and indexer, the paper's rows beside those measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hisa_eval.paper.item import Item
from hisa_eval.paper.pairs import claim
from hisa_eval.paper.published import CATEGORIES, TABLE_1, average
from hisa_eval.paper.sources import paper_model, pick, setting
from hisa_eval.paper.verdict import Claim, Verdict, better, close, missing
from hisa_eval.report.fidelity_rows import records
from hisa_eval.report.longbench import GENERATED, longbench_tables
from hisa_eval.report.numbers import NOTHING
from hisa_eval.report.study import Study
from hisa_eval.report.table import Cell, Table

NAME = "T1"
TITLE = "LongBench by category"
CLOSE = "HISA scores as DSA does (Table 1; 50.78 and 51.05 on DeepSeek-V3.2, 46.32 and 46.01 on GLM-5)"
BETTER = "HISA scores higher than Block-Sparse (Table 1; 50.78 and 49.54, 46.32 and 42.67)"
COLUMNS = (*CATEGORIES, "Avg")
METHODS = ("dsa", "block-sparse", "hisa")


def scores_item(studies: Sequence[Study]) -> Item:
    """Table 1 with a row for every indexer of every run."""
    own = [(study, means) for study in studies if (means := category_means(study)) is not None]
    claims: list[Claim] = []
    for study, means in own:
        where = where_of(study)
        labels = {name: pick(study.labels, name) for name in METHODS}
        claims += [
            claim(NAME, CLOSE, study, (labels["hisa"], labels["dsa"]), close, where),
            claim(NAME, BETTER, study, (labels["hisa"], labels["block-sparse"]), better, where),
            *_cells(study, means, labels, where),
        ]
    if not own:
        claims = [missing(NAME, said, "LongBench or mini") for said in (CLOSE, BETTER)]
    text = "" if own else "No run of LongBench was given; the paper's rows stand alone."
    return Item(NAME, TITLE, {}, [_table(own)], claims, text)


def category_means(study: Study) -> pd.DataFrame | None:
    """Means by indexer and category, from the run's own table of categories; None where it has none.

    Returns:
        `indexer`, `column`, `n`, `score`, `ci_low` and `ci_high`, shares of 1.
    """
    tables = {table.name: table for table in longbench_tables(study)}
    found = tables.get("longbench") or tables.get(GENERATED)
    if found is None:
        return None
    return found.data[found.data["column"].isin(COLUMNS)].reset_index(drop=True)


def where_of(study: Study) -> str:
    """The setting of a LongBench run."""
    return setting(study.runs[0].manifest)


def _cells(study: Study, means: pd.DataFrame, labels: dict[str, str | None], where: str) -> list[Claim]:
    """Each of the paper's cells held against the interval, where it is the paper's model and suite."""
    model = paper_model(study.runs[0].model)
    if model is None or GENERATED in study.suites:
        return []
    claims = []
    for method, label in labels.items():
        if label is None:
            continue
        published = (*TABLE_1[model][method], average(TABLE_1[model][method]))
        rows = {row["column"]: row for row in records(means[means["indexer"] == label])}
        for column, value in zip(COLUMNS, published, strict=True):
            row = rows.get(column)
            if row is None or pd.isna(row["ci_low"]):
                continue
            low, high = 100 * float(row["ci_low"]), 100 * float(row["ci_high"])
            inside = low <= value <= high
            claims.append(
                Claim(
                    NAME,
                    f"{model}, {method}, {column}: {value:.2f}",
                    f"{100 * float(row['score']):.2f} [{low:.2f}, {high:.2f}], n = {int(row['n'])}",
                    Verdict.AGREES if inside else Verdict.DIFFERS,
                    f"the paper's value lies {'inside' if inside else 'outside'} the interval",
                    where,
                )
            )
    return claims


def _table(own: Sequence[tuple[Study, pd.DataFrame]]) -> Table:
    rows, data = [], []
    for model, methods in TABLE_1.items():
        for method, scores in methods.items():
            values = (*scores, average(scores))
            cells = [Cell(f"{value:.2f}", value) for value in values]
            rows.append([Cell("paper"), Cell(model), Cell(method), *cells, Cell(NOTHING, -1)])
            data += [
                {"source": "paper", "model": model, "indexer": method, "column": column, "score": value}
                for column, value in zip(COLUMNS, values, strict=True)
            ]
    notes = [
        "Per cents; the paper gives neither n nor intervals. Avg is the unweighted mean over categories."
    ]
    for study, means in own:
        model = study.runs[0].model
        for label in study.labels:
            own_rows = {row["column"]: row for row in records(means[means["indexer"] == label])}
            cells = [_score(own_rows.get(column)) for column in COLUMNS]
            n = max((int(row["n"]) for row in own_rows.values() if pd.notna(row["n"])), default=0)
            rows.append([Cell("here"), Cell(model), Cell(label), *cells, Cell(str(n), n)])
            data += [
                {"source": "here", "model": model, **row, **{key: 100 * row[key] for key in _SHARES}}
                for row in own_rows.values()
            ]
        notes.append(f"Rows of {model}: {where_of(study)}; 95% intervals, n = questions scored.")
    return Table(
        "T1-longbench",
        "Table 1, LongBench",
        ["from", "model", "indexer", *COLUMNS, "n"],
        rows,
        pd.DataFrame(data),
        notes,
        n_keys=3,
    )


_SHARES = ("score", "ci_low", "ci_high")


def _score(row: dict[str, Any] | None) -> Cell:
    if row is None or pd.isna(row["score"]):
        return Cell(NOTHING, -1)
    text = f"{100 * row['score']:.1f}"
    if pd.notna(row["ci_low"]):
        text += f" [{100 * row['ci_low']:.0f}, {100 * row['ci_high']:.0f}]"
    return Cell(text, float(row["score"]))
