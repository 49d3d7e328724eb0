"""Figures 4a and 4b of the paper's first version: IoU with DSA's selection by layer and by context length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from hisa_eval.paper.item import Item
from hisa_eval.paper.published import LOWEST_IOU_BY_LAYER, LOWEST_IOU_BY_LENGTH, MEAN_IOU
from hisa_eval.paper.sources import setting
from hisa_eval.paper.verdict import Claim, Verdict, above, all_of, missing
from hisa_eval.report.fidelity import SCOPES
from hisa_eval.report.fidelity_rows import Compared, figures, load_compared, records, scoped
from hisa_eval.report.figures.agreement import draw_by_layer, draw_by_length
from hisa_eval.report.figures.legend import note_below
from hisa_eval.report.figures.theme import INK
from hisa_eval.report.numbers import NOTHING, length_label, share
from hisa_eval.report.page import Picture
from hisa_eval.report.study import Study
from hisa_eval.report.table import Cell, Table
from hisa_eval.stats.rows import ratio_figure

NAME = "V1-4"
TITLE = "IoU with DSA's selection by layer and by length"
WORDS = {"all": "all rows", "beyond": "rows beyond m·B"}
_SAID = {
    "layer": f"v1: the mean IoU lies above {MEAN_IOU:g} in every layer (Figure 4a)",
    "length": f"v1: the mean IoU lies above {MEAN_IOU:g} at every length (Figure 4b)",
    "layer-lowest": f"v1: the lowest IoU of any layer is about {LOWEST_IOU_BY_LAYER:g} (Figure 4a)",
    "length-lowest": f"v1: the lowest IoU of any length lies above {LOWEST_IOU_BY_LENGTH:g} (Figure 4b)",
}

Grouped = Callable[[Sequence[str]], pd.DataFrame]
"""IoU figures by the named columns and `scope`."""


def overlap_item(folders: Sequence[Path], studies: Sequence[Study]) -> Item:
    """The IoU figures from comparisons of selections, or from runs that were probed where there are none."""
    found: list[tuple[Mapping[str, Any], Grouped]] = []
    for folder in folders:
        compared = load_compared(folder)
        if len(compared.rows):
            found.append((compared.manifest, partial(of_rows, compared)))
    if not found:
        found = [(one.runs[0].manifest, partial(of_probe, one)) for one in studies if one.layers]
    pictures: dict[str, Picture] = {}
    tables: list[Table] = []
    claims: list[Claim] = []
    for number, (manifest, grouped) in enumerate(found, 1):
        data = grouped(["indexer", "layer", "length"])
        labels = [one for one in dict.fromkeys(data["indexer"]) if str(one).split(":")[0] == "hisa"]
        if not labels:
            continue
        where = setting(manifest)
        end = "" if len(found) == 1 else f"-{number}"
        own = data[data["indexer"].isin(labels)]
        pooled = grouped(["indexer", "length"]).assign(layer=-1)
        both = pd.concat([own, pooled[pooled["indexer"].isin(labels)]], ignore_index=True)
        lengths = sorted({int(one) for one in own["length"]})
        pictures[f"V1-4a-iou-by-layer{end}"] = Picture(
            partial(_draw, partial(draw_by_layer, labels, own), where), "IoU with DSA's selection by layer"
        )
        pictures[f"V1-4b-iou-by-length{end}"] = Picture(
            partial(_draw, partial(draw_by_length, labels, lengths, both), where),
            "IoU with DSA's selection by context length",
        )
        tables.append(_table(f"V1-4-iou{end}", own, where))
        for label in labels:
            claims += _claims(label, grouped, where)
    if not claims:
        claims = [missing(NAME, said, "compared selections of HISA") for said in _SAID.values()]
    return Item(
        NAME, TITLE, pictures, tables, claims, "" if pictures else "No run with selections was given."
    )


def of_rows(compared: Compared, by: Sequence[str]) -> pd.DataFrame:
    """Figures of a comparison's sampled rows."""
    found = figures(scoped(compared.rows), [*by, "scope"], ["iou"], percentile=False)
    return found.assign(indexer=found["indexer"].astype(str))


def of_probe(study: Study, by: Sequence[str]) -> pd.DataFrame:
    """The same of the rows probed while a suite ran; a sample counts as one context."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for one in study.layers:
        for scope in SCOPES:
            if one[scope].get("rows"):
                fields = {"indexer": one["series"], **one}
                key = (*(fields[name] for name in by), scope)
                groups.setdefault(key, []).append({**one[scope], "sample": one["sample_id"]})
    rows = []
    for key, own in groups.items():
        frame = pd.DataFrame(own).groupby("sample")[["iou_sum", "rows"]].sum()
        figure = ratio_figure(frame["iou_sum"].to_numpy(), frame["rows"].to_numpy())
        rows.append(
            {
                **dict(zip([*by, "scope"], key, strict=True)),
                **figure._asdict(),
                "n_rows": figure.n,
                "p5": float("nan"),
                "minimum": min(float(one["iou_min"]) for one in own),
            }
        )
    return pd.DataFrame(
        rows, columns=[*by, "scope", "mean", "low", "high", "n_rows", "n_contexts", "p5", "minimum"]
    )


def _claims(label: str, grouped: Grouped, where: str) -> list[Claim]:
    claims = []
    for axis, lowest in (("layer", LOWEST_IOU_BY_LAYER), ("length", LOWEST_IOU_BY_LENGTH)):
        data = grouped(["indexer", axis])
        for scope in SCOPES:
            own = records(data[(data["indexer"] == label) & (data["scope"] == scope)])
            if not own:
                claims.append(missing(NAME, f"{_SAID[axis]}, {WORDS[scope]}", "such rows"))
                continue
            claims.append(_mean_claim(label, axis, scope, own, where))
            if scope == "all":
                claims.append(_lowest_claim(label, axis, own, lowest, where))
    return claims


def _mean_claim(label: str, axis: str, scope: str, own: Sequence[Mapping[str, Any]], where: str) -> Claim:
    each = [above(one["low"], one["high"], one["mean"], MEAN_IOU) for one in own]
    worst = min(own, key=lambda one: float(one["mean"]))
    counts = ", ".join(
        f"{sum(verdict is kind for verdict, _ in each)} {text}"
        for kind, text in ((Verdict.AGREES, "above"), (Verdict.OPEN, "open"), (Verdict.DIFFERS, "below"))
    )
    bounds = f" [{share(worst['low'], 3)}, {share(worst['high'], 3)}]" if worst["low"] == worst["low"] else ""
    found = (
        f"{label}, {WORDS[scope]}: lowest mean {share(worst['mean'], 3)}{bounds} "
        f"at {_place(axis, worst[axis])}; "
        f"of {len(own)} {axis}s {counts}; "
        f"{sum(int(one['n_rows']) for one in own):,} rows of {int(worst['n_contexts'])} contexts there"
    )
    verdict = all_of([one for one, _ in each])
    why = {
        Verdict.AGREES: f"every interval lies above {MEAN_IOU:g}",
        Verdict.DIFFERS: f"at least one interval lies below {MEAN_IOU:g}",
        Verdict.OPEN: f"an interval holds {MEAN_IOU:g}, or there is none",
        Verdict.MISSING: "no rows",
    }[verdict]
    return Claim(NAME, f"{_SAID[axis]}; on {WORDS[scope]}", found, verdict, why, where)


def _lowest_claim(label: str, axis: str, own: Sequence[Mapping[str, Any]], bound: float, where: str) -> Claim:
    worst = min(own, key=lambda one: float(one["minimum"]))
    n = sum(int(one["n_rows"]) for one in own)
    found = f"{label}: lowest row {share(worst['minimum'], 3)} at {_place(axis, worst[axis])}, of {n:,} rows"
    lower = float(worst["minimum"]) < bound
    why = (
        f"a row lies below {bound:g}"
        if lower
        else f"no row lies below {bound:g}; a larger sample might hold one"
    )
    return Claim(
        NAME, _SAID[f"{axis}-lowest"], found, Verdict.DIFFERS if lower else Verdict.AGREES, why, where
    )


def _place(axis: str, value: Any) -> str:
    return f"layer {int(value)}" if axis == "layer" else length_label(int(value))


def _draw(draw: Callable[[], Figure], where: str) -> Figure:
    figure = draw()
    for axes in figure.axes:
        low, high = axes.get_ylim()
        axes.axhline(MEAN_IOU, color=INK, linewidth=0.7, linestyle="-.")
        axes.set_ylim(low, high)
    before = figure.get_supxlabel()
    note_below(
        figure, f"{before}. Dash-dotted: {MEAN_IOU:g}, v1's least mean. {where}. v1 gives no 95% intervals."
    )
    return figure


def _table(name: str, data: pd.DataFrame, where: str) -> Table:
    rows = []
    for one in records(data):
        bounds = f" [{share(one['low'], 3)}, {share(one['high'], 3)}]" if one["low"] == one["low"] else ""
        rows.append(
            [
                Cell(str(one["indexer"])),
                Cell(str(one["layer"]), one["layer"]),
                Cell(length_label(int(one["length"])), one["length"]),
                Cell(WORDS[str(one["scope"])]),
                Cell(f"{share(one['mean'], 3)}{bounds}", one["mean"]),
                Cell(share(one["p5"], 3) if one["p5"] == one["p5"] else NOTHING, one["p5"]),
                Cell(share(one["minimum"], 3), one["minimum"]),
                Cell(f"{int(one['n_rows']):,}", one["n_rows"]),
                Cell(str(int(one["n_contexts"])), one["n_contexts"]),
            ]
        )
    notes = [
        f"Measured on: {where}. Up to m·B visible keys HISA is DSA by construction; rows beyond say what it "
        "loses.",
        "v1 gives a mean above 0.99 and lowest values near 0.96 by layer and above 0.90 by length; known "
        "from a summary, by which it was measured on DeepSeek-V2-Lite with LongBench inputs.",
    ]
    columns = ["indexer", "layer", "length", "rows", "mean IoU", "p5", "lowest", "n rows", "contexts"]
    return Table(name, "Figures 4a and 4b of v1, IoU", columns, rows, data, notes, n_keys=4)
