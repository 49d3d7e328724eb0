"""`report.html`: everything of a study in one file that asks the network for nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hisa_eval.report.facts import command_line, indexer_facts, run_facts
from hisa_eval.report.figures.theme import Draw, Rendered, inline_svg
from hisa_eval.report.numbers import depth_label, length_label, share
from hisa_eval.report.study import Study
from hisa_eval.report.table import Table

MOST_SAMPLES = 2000
"""Rows of the sample table; with more, the page holds the failed and the lowest scores first."""


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        draw: Draws it.
        alt: What it shows, in words.
    """

    draw: Draw
    alt: str


@dataclass(frozen=True)
class Inlined:
    """A figure ready for the page."""

    svg: Markup
    alt: str


def inline(rendered: Rendered, name: str, alt: str) -> Inlined:
    """A drawn figure as a part of the page.

    Args:
        rendered: The figure.
        name: Unique on the page.
        alt: What it shows, in words.
    """
    return Inlined(Markup(inline_svg(rendered.svg, name, str(escape(alt)))), alt)


def html_page(study: Study, title: str, tables: Mapping[str, Table], pictures: Mapping[str, Inlined]) -> str:
    """The page.

    Args:
        study: What was run.
        title: Heading.
        tables: By name: `accuracy`, `seconds`, and where they exist `difference`, `fidelity`, `evidence` and
            a suite's own.
        pictures: By name, where they exist: `accuracy-by-length`, `accuracy-by-task`, `heatmaps`,
            `differences`, `iou-by-length`, `iou-by-layer`, `evidence-by-length`.
    """
    environment = Environment(
        loader=PackageLoader("hisa_eval.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    samples = study.samples
    failed = samples[samples["status"] == "failed"]
    return environment.get_template("report.html.j2").render(
        title=title,
        summary=_summary(study),
        runs=[
            {
                "name": run.path.resolve().name,
                "facts": run_facts(run),
                "indexers": indexer_facts(run),
                "command": command_line(run),
            }
            for run in study.runs
        ],
        tables=tables,
        pictures=pictures,
        failures=_sample_rows(failed),
        samples=_sample_rows(_most_telling(samples)),
        evidence_of="needle" if study.suites == ["niah"] else "answer",
        n_samples=len(samples),
        n_left_out=max(0, len(samples) - MOST_SAMPLES),
    )


def _summary(study: Study) -> str:
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


def _most_telling(samples: pd.DataFrame) -> pd.DataFrame:
    if len(samples) <= MOST_SAMPLES:
        return samples
    order = samples["score"].fillna(-1).sort_values(kind="stable").index[:MOST_SAMPLES]
    return samples.loc[sorted(order)]


def _sample_rows(samples: pd.DataFrame) -> Sequence[Mapping[str, object]]:
    return [
        {
            "id": row["sample_id"],
            "indexer": row["series"],
            "length": "" if pd.isna(row["length"]) else length_label(int(row["length"])),
            "length_sort": -1 if pd.isna(row["length"]) else int(row["length"]),
            "depth": "" if pd.isna(row["depth"]) else depth_label(row["depth"]),
            "score": "failed" if math.isnan(row["score"]) else share(row["score"]),
            "score_sort": -1 if math.isnan(row["score"]) else row["score"],
            "kind": "failed" if math.isnan(row["score"]) else "right" if row["score"] == 1 else "wrong",
            "prediction": row["prediction"] or "",
            "expected": row["expected"],
            "prompt_tail": row["prompt_tail"] or "",
            "reason": row["reason"] or "",
        }
        for row in samples.to_dict("records")
    ]
