"""The page of a comparison of selections."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hisa_eval.report.fidelity_rows import Compared, records
from hisa_eval.report.numbers import NOTHING, length_label, share
from hisa_eval.report.page.explorer import Explorer, Field
from hisa_eval.report.page.heat import SCORES, Axis, HeatCell, Heatmaps, Panel
from hisa_eval.report.page.parts import Folded, Inlined, Page, Part, Section, Text, pictures_of
from hisa_eval.report.page.study import ran
from hisa_eval.report.study import Run
from hisa_eval.report.table import Table
from hisa_eval.run.store import RunStore

SCOPES = {"all": "all rows", "beyond": "rows beyond the exact range"}


def fidelity_page(
    compared: Compared, tables: Mapping[str, Table], pictures: Mapping[str, Mapping[str, Inlined]]
) -> Page:
    """The page.

    Args:
        compared: What was compared.
        tables: By name, as `hisa_eval.report.fidelity_build` makes them.
        pictures: By kind of inputs, then by name.
    """
    run = Run(compared.folder, compared.manifest, tuple(RunStore.read(compared.folder).records()))
    agreement: list[Part] = [
        Text(
            "Every indexer selects for the very queries that flat DSA selects for. IoU is the share of the "
            "union that both chose, recall the share of DSA's keys that was kept."
        )
    ]
    needles: list[Part] = []
    for inputs in compared.inputs:
        own = pictures.get(inputs, {})
        agreement += _agreement(compared, inputs, tables["agreement-by-layer"].data)
        agreement += pictures_of(own, "iou-by-layer", "iou-by-length", "recall-by-distance")
        if "needles" in tables:
            needles += _missed(compared, inputs, tables["needles"].data)
        needles += pictures_of(own, "block-ranks")
    agreement.append(tables["agreement"])
    for name in ("agreement-by-layer", "agreement-by-position", "recall-by-distance"):
        agreement.append(Folded(tables[name].title, [tables[name]]))
    needles += [tables["needles"]] if "needles" in tables else []
    if "block-ranks" in tables:
        needles.append(Folded(tables["block-ranks"].title, [tables["block-ranks"]]))

    def alone(name: str) -> list[Part]:
        return [tables[name]] if name in tables else []

    contexts = len({one["sample_id"] for one in run.records})
    failed = f"{len(compared.failed):,} results failed" if compared.failed else "none failed"
    return Page(
        f"Selections compared – {run.model}",
        f"{', '.join(compared.compared)} against {compared.labels[0]} on {contexts:,} contexts; {failed}.",
        [
            Section("agreement", "How much of DSA's selection was kept?", agreement),
            Section("needles", "Was the needle missed?", needles),
            Section("certificates", "Rows that needed no rescue", alone("certificates")),
            Section("noise-floor", "Noise floor", alone("noise-floor")),
            Section("contexts", "Contexts", [context_explorer(run.records)]),
            Section("runs", "What ran, and how to run it again", ran([run])),
        ],
        remarks=[text for text in [(run.manifest.get("model") or {}).get("description")] if text],
    )


def context_explorer(found: Sequence[Mapping[str, Any]]) -> Explorer:
    """Every context and indexer with what became of each layer's selection.

    Args:
        found: Records of the store.
    """
    fields = [
        Field("sample_id", "context", "name", column=True),
        Field("indexer", "indexer", "name", column=True, filter=True),
        Field("score", "recall", "share", column=True),
        Field("inputs", "inputs", "name", filter=True),
        Field("length", "length", "length", column=True, filter=True),
        Field("depth", "depth", "depth", column=True, filter=True),
        Field("expected", "answer", "text", column=True),
        Field("prompt_tail", "end of the prompt", "text"),
        Field("reason", "why it failed", "text"),
        Field("n_prompt_tokens", "tokens", "count"),
        Field("lead_in", "tokens of the answer read before its own text", "count"),
        Field("scored_keys", "vectors scored for the answering row", "count"),
        Field("select_seconds", "selecting", "seconds"),
    ]
    of_details = ("lead_in", "scored_keys", "select_seconds")
    rows = [
        {
            **one,
            "inputs": str(one["task"]).partition("/")[2],
            "expected": " | ".join(map(str, one.get("references") or ())),
            **{name: (one.get("details") or {}).get(name) for name in of_details},
            "layers": [_layer(layer) for layer in (one.get("details") or {}).get("layers", ())],
        }
        for one in found
    ]
    answering = ("IoU, answering row", "recall, answering row")
    names = ("answer's text selected", "by flat DSA", *answering, "IoU", "recall")
    picked = "layers that selected some of the answer's text"
    return Explorer("context", fields, rows, layers=names, picked=picked)


def _layer(layer: Mapping[str, Any]) -> list[Any]:
    sampled = [sum(own) / len(own) for own in (layer[name][:-1] or layer[name] for name in ("iou", "recall"))]
    last = [layer[name][-1] for name in ("iou", "recall")]
    return [layer["layer"], layer["evidence"], layer["evidence_of_flat"], *last, *sampled]


def _agreement(compared: Compared, inputs: str, data: pd.DataFrame) -> list[Part]:
    """IoU by layer and length, on all rows and on those beyond the exact range."""
    own = data[(data["inputs"] == inputs) & (data["metric"] == "iou")]
    made: list[Part] = []
    for scope, meaning in SCOPES.items():
        part = own[own["scope"] == scope]
        if not len(part):
            continue

        def cell(row: Mapping[str, Any] | None, where: str) -> HeatCell:
            if row is None:
                return SCORES.cell(math.nan, f"{where}: no such row")
            interval = _interval(row["low"], row["high"])
            counts = f"{row['n_rows']:,} rows of {row['n_contexts']} contexts"
            lowest = share(row["minimum"], 3)
            tip = f"{where}: IoU {share(row['mean'], 3)}{interval}, lowest {lowest}, {counts}"
            return SCORES.cell(row["mean"], tip)

        caption = f"Mean IoU by layer and length, {meaning}{_of(compared, inputs)}."
        made.append(_by_layer(compared.compared, records(part), "IoU", caption, cell))
    return made


def _missed(compared: Compared, inputs: str, data: pd.DataFrame) -> list[Part]:
    """Contexts whose answer the answering row cannot attend to, by layer and length."""
    own = data[data["inputs"] == inputs]

    def cell(row: Mapping[str, Any] | None, where: str) -> HeatCell:
        if row is None:
            return SCORES.cell(math.nan, f"{where}: not measured")
        interval = _interval(row["missed_low"], row["missed_high"])
        tip = (
            f"{where}: missed {share(row['missed'])}{interval} of {row['n']} contexts; "
            f"by flat DSA {share(row['missed_flat'])}"
        )
        # Dark is bad on every heatmap, so that the colour is of what was found.
        return SCORES.cell(1 - row["missed"], tip)

    what = "Contexts in which the answering row can attend to the answer, by layer and length"
    caption = f"{what}{_of(compared, inputs)}."
    return [_by_layer(compared.compared, records(own), "found", caption, cell)] if len(own) else []


def _by_layer(
    labels: Sequence[str], rows: Sequence[Mapping[str, Any]], meaning: str, caption: str, cell: Any
) -> Heatmaps:
    layers = sorted({int(one["layer"]) for one in rows})
    lengths = sorted({int(one["length"]) for one in rows})
    found = {(str(one["indexer"]), int(one["layer"]), int(one["length"])): one for one in rows}
    panels = [
        Panel(
            label,
            "",
            [
                [
                    cell(found.get((label, layer, one)), f"{label}, {length_label(one)}, layer {layer}")
                    for one in lengths
                ]
                for layer in layers
            ],
        )
        for label in labels
    ]
    down = Axis("layer", [str(one) for one in layers], layers)
    across = Axis("length", [length_label(one) for one in lengths], lengths)
    return Heatmaps(caption, down, across, SCORES, meaning, panels)


def _of(compared: Compared, inputs: str) -> str:
    return f", {inputs} inputs" if len(compared.inputs) > 1 else ""


def _interval(low: float, high: float) -> str:
    return f" [{share(low, 3)}, {share(high, 3)}]" if not math.isnan(low) else f" [{NOTHING}]"
