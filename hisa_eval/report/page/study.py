"""The page of a run of questions (needles, RULER, LongBench, mini), or of several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from hisa_eval.report.facts import command_line, indexer_facts, run_facts
from hisa_eval.report.numbers import length_label
from hisa_eval.report.page.explorer import Explorer, Field
from hisa_eval.report.page.heat import Heatmaps
from hisa_eval.report.page.parts import (
    Folded,
    Inlined,
    Page,
    Part,
    Ran,
    Section,
    Text,
    pictures_of,
    tables_of,
)
from hisa_eval.report.page.study_heat import (
    agreement_heatmaps,
    difference_heatmaps,
    evidence_heatmaps,
    score_heatmaps,
)
from hisa_eval.report.score_tables import failure_table
from hisa_eval.report.study import Run, Study
from hisa_eval.report.table import Table

SUITE_TABLES = ("ruler", "longbench", "longbench-e", "longbench-e-lengths", "longbench-v2", "mini", "tasks")
AGREEMENT = (
    "In each probed row the keys that the indexer chose are compared with those that flat DSA would have "
    "chosen for the same query. IoU is the share of the union that both chose, recall the share of DSA's "
    "keys that was kept."
)
EVIDENCE = (
    "The share of the answer's own tokens that the rows which produced the answer could attend to. An answer "
    "can be right though little was selected, and wrong though all was."
)


def study_page(
    study: Study,
    title: str,
    tables: Mapping[str, Table],
    pictures: Mapping[str, Inlined],
    cells: pd.DataFrame,
    agreement: pd.DataFrame,
    shares: pd.DataFrame,
    tasks: Sequence[str] = (),
) -> Page:
    """The page.

    Args:
        study: What was run.
        title: Heading.
        tables: By name: `accuracy`, `seconds`, and where they exist `difference`, `fidelity`, `evidence` and
            a suite's own.
        pictures: By name, where they exist: `accuracy-by-length`, `accuracy-by-task`, `iou-by-length`,
            `iou-by-layer`, `evidence-by-length`.
        cells: Scores grouped by task, length and depth.
        agreement: From `hisa_eval.report.fidelity.fidelity`.
        shares: From `hisa_eval.report.fidelity.evidence`.
        tasks: The suite's tasks in its own order, as in records.
    """
    scores, minus = _grids(study, cells, tasks)
    needle = study.suites == ["niah"]
    selection: list[Part] = []
    if "fidelity" in tables:
        selection = [
            Text(AGREEMENT),
            agreement_heatmaps(study, agreement),
            *pictures_of(pictures, "iou-by-length", "iou-by-layer"),
            Folded("All figures by layer and length", [tables["fidelity"]]),
        ]
    evidence: list[Part] = []
    if "evidence" in tables:
        evidence = [
            Text(EVIDENCE),
            evidence_heatmaps(study, shares),
            *pictures_of(pictures, "evidence-by-length"),
            Folded("All figures by layer and length", [tables["evidence"]]),
        ]
    failures = failure_table(study)
    failed: list[Part] = [Text("None.")]
    if failures is not None:
        retry = "These have no score. They are in no mean; give the same command again to retry them."
        failed = [Text(retry), failures]
    difference = [
        *minus,
        *tables_of(tables, "difference", "difference-by-task"),
    ]
    suite = tables_of(tables, *SUITE_TABLES)
    accuracy: list[Part] = [*suite, *pictures_of(pictures, "accuracy-by-task"), *scores]
    accuracy += tables_of(tables, "accuracy") if suite else [tables["accuracy"]]
    accuracy += pictures_of(pictures, "accuracy-by-length")
    return Page(
        title,
        summary(study),
        [
            Section("accuracy", "Accuracy", accuracy),
            Section("difference", "Against flat DSA", difference),
            Section("selection", "How much of DSA's selection was kept?", selection),
            Section("evidence", f"Was the {'needle' if needle else 'answer'}'s text selected?", evidence),
            Section("samples", "Samples", [sample_explorer(study)] if len(study.samples) else []),
            Section("failures", "Failed samples", failed),
            Section("seconds", "Time", [tables["seconds"]]),
            Section("runs", "What ran, and how to run it again", ran(study.runs)),
        ],
        remarks=[value for run in study.runs for name, value in run_facts(run) if name == "What it is"],
    )


def _grids(study: Study, cells: pd.DataFrame, tasks: Sequence[str]) -> tuple[list[Heatmaps], list[Heatmaps]]:
    """Heatmaps of scores and of differences: over depths where there are any, else over tasks."""
    if not study.lengths or not study.series:
        return [], []
    if study.depths:
        minus = difference_heatmaps(study, "depth")
        return [score_heatmaps(study, cells[cells["depth"].notna()], "depth")], [minus] if minus else []
    if tasks:
        minus = difference_heatmaps(study, "task", tasks)
        return [score_heatmaps(study, cells, "task", tasks)], [minus] if minus else []
    return [], []


def sample_explorer(study: Study) -> Explorer:
    """Every sample with what is stored of it."""
    fields = [
        Field("sample_id", "sample", "name", column=True),
        Field("indexer", "indexer", "name", column=True, filter=True),
        Field("score", "score", "share", column=True),
        Field("task", "task", "name", filter=True),
        Field("length", "length", "length", column=True, filter=True),
        Field("depth", "depth", "depth", column=bool(study.depths), filter=True),
        Field("evidence_at", "answer's text at", "places"),
        Field("prediction", "prediction", "text", column=True),
        Field("expected", "expected", "text", column=True),
        Field("prompt_tail", "end of the prompt", "text"),
        Field("reason", "why it failed", "text"),
        Field("n_total_tokens", "tokens, answer room included", "count"),
        Field("n_generated", "tokens answered", "count"),
        Field("finish_reason", "ended by", "name"),
        Field("prefill_seconds", "prefill", "seconds"),
        Field("decode_seconds", "decode", "seconds"),
    ]
    layers: dict[tuple[str, str], list[list[object]]] = {}
    for one in study.layers:
        last, every, beyond = one["last_row"], one["all"], one["beyond"]
        layers.setdefault((one["series"], one["sample_id"]), []).append(
            [
                one["layer"],
                one["evidence"],
                last.get("iou"),
                last.get("recall"),
                _mean(every, "iou_sum"),
                _mean(beyond, "iou_sum"),
            ]
        )
    rows = [
        {**row, "indexer": row["series"], "layers": layers.get((row["series"], row["sample_id"]), [])}
        for row in study.samples.to_dict("records")
    ]
    return Explorer(
        "sample",
        fields,
        rows,
        layers=("answer's text selected", "IoU, last row", "recall, last row", "IoU", "IoU beyond"),
        picked="layers that selected some of the answer's text",
    )


def _mean(figures: Mapping[str, float], name: str) -> float | None:
    return figures[name] / figures["rows"] if figures.get("rows") else None


def ran(runs: Sequence[Run]) -> list[Part]:
    """Commands and facts of runs."""
    return [
        Ran(
            run.path.resolve().name if len(runs) > 1 else "",
            command_line(run),
            [*run_facts(run), *((f"Indexer {name}", value) for name, value in indexer_facts(run))],
        )
        for run in runs
    ]


def summary(study: Study) -> str:
    """What was run, in one sentence."""
    models = " and ".join(dict.fromkeys(run.model for run in study.runs))
    failed = int((study.samples["status"] == "failed").sum())
    lengths = study.lengths
    span = length_label(lengths[0]) if lengths else "no length"
    if len(lengths) > 1:
        span = f"{len(lengths)} lengths from {span} to {length_label(lengths[-1])}"
    depths = f", {len(study.depths)} depths" if study.depths else ""
    scored = len(study.samples) - failed
    parts = [f"{models} with {', '.join(study.labels)}; {span}{depths}; {scored:,} samples scored"]
    parts.append(f"{failed:,} failed" if failed else "none failed")
    missing = study.n_planned - len(study.samples)
    if missing > 0:
        parts.append(f"{missing:,} not run yet")
    return ", ".join(parts) + "."
