"""Builds every derived file of a run, or of a comparison of runs, from the stores alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hisa_eval.errors import UserError
from hisa_eval.report.accuracy import grouped_scores
from hisa_eval.report.fidelity import evidence, fidelity
from hisa_eval.report.figures.by_length import draw_accuracy, draw_evidence
from hisa_eval.report.figures.by_task import draw_tasks
from hisa_eval.report.figures.heatmaps import difference_grids, draw_differences, draw_scores, score_grids
from hisa_eval.report.figures.iou import draw_iou_by_layer, draw_iou_by_length
from hisa_eval.report.figures.theme import Draw, render
from hisa_eval.report.files import PAGE, write_file
from hisa_eval.report.longbench import GENERATED, GENERATED_TITLE, labelled, longbench_tasks, mini_tasks
from hisa_eval.report.numbers import slug
from hisa_eval.report.page import Picture, html_page, inline
from hisa_eval.report.page.study import study_page
from hisa_eval.report.ruler import ruler_tasks
from hisa_eval.report.score_tables import accuracy_table, difference_table
from hisa_eval.report.selection_tables import evidence_table, fidelity_table, seconds_table
from hisa_eval.report.study import Study, load_study
from hisa_eval.report.suites import suite_differences, suite_tables
from hisa_eval.run.store import MANIFEST


@dataclass(frozen=True)
class ReportPaths:
    """What was written.

    Attributes:
        folder: Where.
        html: The page.
        summary: One row per indexer, length and depth, CSV and parquet.
        fidelity: One row per indexer, length and layer, CSV and parquet; empty where nothing was probed.
        tables: Markdown, CSV and LaTeX.
        figures: PNG and PDF.
        parts: Reports of the single runs, where this one compares several.
    """

    folder: Path
    html: Path
    summary: tuple[Path, ...]
    fidelity: tuple[Path, ...]
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    parts: tuple[ReportPaths, ...] = ()


def build_report(dirs: Sequence[str | Path], out: str | Path | None = None) -> ReportPaths:
    """Rebuild the derived files of runs; no model is loaded and no store is changed.

    Args:
        dirs: Folders of runs. Each gets its own report inside.
        out: Folder of a comparison of all of them; needs at least two.

    Returns:
        Paths of the comparison with those of the runs in `parts`, or of the last run where there is none.

    Raises:
        UserError: a folder is not a run or cannot be written, or `out` holds something else.
    """
    paths = [Path(one) for one in dirs]
    if not paths:
        raise UserError("no run to report on", "give the --out folder of a run")
    if out is not None:
        if len(paths) < 2:
            raise UserError("one run cannot be compared", "give two or more, or leave --out away")
        _refuse_foreign(Path(out))
    studies = [load_study([path]) for path in paths]
    combined = load_study(paths) if out is not None else None
    parts = tuple(_write(study, path) for study, path in zip(studies, paths, strict=True))
    if combined is None or out is None:
        return parts[-1]
    whole = _write(combined, Path(out))
    return ReportPaths(**{**vars(whole), "parts": parts})


def _refuse_foreign(out: Path) -> None:
    if out.is_file():
        raise UserError(f"{out} is a file, not a folder", "choose another --out")
    if (out / MANIFEST).exists():
        raise UserError(f"{out} is a run of its own", "choose another --out for the comparison")
    if out.is_dir() and any(out.iterdir()) and not (out / PAGE).exists():
        raise UserError(f"{out} is not empty and not a report", "choose another --out; nothing was written")


def _write(study: Study, folder: Path) -> ReportPaths:
    cells = grouped_scores(study, ["task", "length", "depth"])
    agreement, shares = fidelity(study), evidence(study)
    made = [
        *suite_tables(study),
        accuracy_table(study),
        difference_table(study),
        suite_differences(study),
        fidelity_table(agreement),
        evidence_table(shares),
        seconds_table(study),
    ]
    tables = {one.name: one for one in made if one is not None}
    if GENERATED in study.suites:
        tables = {name: labelled(one) for name, one in tables.items()}
    single, pictures = _pictures(study, cells, agreement, shares)
    figures, inlined = [], {}
    for name, one in {**single, **pictures}.items():
        rendered = render(partial(_labelled, one.draw) if GENERATED in study.suites else one.draw)
        figures += rendered.write(folder / "figures" / name)
        # Heatmaps are tables of the page, whose cells tell what is in them.
        if name in pictures and name not in ("heatmaps", "differences"):
            inlined[name] = inline(rendered, name, one.alt)
    tasks = [*ruler_tasks(study), *longbench_tasks(study)]
    page = study_page(study, _title(study), tables, inlined, cells, agreement, shares, tasks)
    return ReportPaths(
        folder=folder,
        html=write_file(folder / PAGE, html_page(page)),
        summary=_frames(cells, folder / "summary"),
        fidelity=_frames(agreement, folder / "fidelity") if len(agreement) else (),
        tables=tuple(path for one in tables.values() for path in one.write(folder / "tables")),
        figures=tuple(figures),
    )


def _pictures(
    study: Study, cells: pd.DataFrame, agreement: pd.DataFrame, shares: pd.DataFrame
) -> tuple[dict[str, Picture], dict[str, Picture]]:
    """Figures of one indexer each, and those that the page shows."""
    single: dict[str, Picture] = {}
    pictures: dict[str, Picture] = {}
    if study.lengths and study.depths and study.series:
        grids = score_grids(study, cells)
        minus = difference_grids(study, grids)
        for label, grid in grids.items():
            single[_free(f"heatmap-{slug(label)}", single)] = Picture(
                partial(draw_scores, [grid]), f"Score of {label} by context length and needle depth"
            )
        pictures["heatmaps"] = Picture(
            partial(draw_scores, [*grids.values()]), "Score by context length and needle depth, every indexer"
        )
        if minus:
            pictures["differences"] = Picture(
                partial(draw_differences, [*minus.values()]), "Score minus flat DSA's by length and depth"
            )
    if study.lengths and study.series:
        pictures["accuracy-by-length"] = Picture(
            partial(draw_accuracy, study, grouped_scores(study, ["length"])),
            "Mean score with its interval by context length",
        )
    if study.lengths and (tasks := [*ruler_tasks(study), *mini_tasks(study)]):
        pictures["accuracy-by-task"] = Picture(
            partial(draw_tasks, study, grouped_scores(study, ["task", "length"]), tasks),
            "Mean score with its interval by context length, task by task",
        )
    if len(agreement):
        pictures["iou-by-length"] = Picture(
            partial(draw_iou_by_length, study, agreement), "IoU with flat DSA's selection by length"
        )
        pictures["iou-by-layer"] = Picture(
            partial(draw_iou_by_layer, study, agreement), "IoU with flat DSA's selection by layer"
        )
    if len(shares):
        pictures["evidence-by-length"] = Picture(
            partial(draw_evidence, study, shares), "Share of the answer's tokens that was selected"
        )
    return single, pictures


def _labelled(draw: Draw) -> Figure:
    """A figure whose axes say that mini was asked."""
    figure = draw()
    for axes in figure.axes:
        if axes.get_xlabel():
            axes.set_xlabel(f"{axes.get_xlabel()}, {GENERATED}")
    return figure


def _free(name: str, taken: dict[str, Picture]) -> str:
    """`name`, numbered where two labels give the same file name."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def _frames(frame: pd.DataFrame, stem: Path) -> tuple[Path, ...]:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return (
        write_file(stem.with_suffix(".csv"), frame.to_csv(index=False, lineterminator="\n")),
        write_file(stem.with_suffix(".parquet"), buffer.getvalue()),
    )


def _title(study: Study) -> str:
    tasks = study.suites or [str(study.runs[0].manifest.get("command", "run"))]
    names = {
        "niah": "Needle in a haystack",
        "ruler": "RULER",
        "longbench": "LongBench",
        "longbench-v2": "LongBench v2",
        GENERATED: GENERATED_TITLE,
    }
    models = " and ".join(dict.fromkeys(run.model for run in study.runs))
    return f"{', '.join(names.get(task, task) for task in tasks)} – {models}"
