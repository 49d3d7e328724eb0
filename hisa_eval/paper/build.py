"""Writes the paper's figures and tables, and a page that says what agrees and what does not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from hisa_eval.errors import UserError
from hisa_eval.paper.attention import attention_item
from hisa_eval.paper.item import Item
from hisa_eval.paper.needles import needles_item
from hisa_eval.paper.overlap import overlap_item
from hisa_eval.paper.scores import scores_item
from hisa_eval.paper.sensitivity import sensitivity_item
from hisa_eval.paper.sources import Sources, read_sources
from hisa_eval.paper.speed import speed_item
from hisa_eval.paper.verdict import MARGIN, NEAR, Claim, Verdict
from hisa_eval.report.facts import command_line, run_facts
from hisa_eval.report.figures.theme import render
from hisa_eval.report.files import write_file
from hisa_eval.report.page import inline
from hisa_eval.report.table import Cell, Table

PAGE = "report.html"
FILE = "paper.json"
TITLE = "The HISA paper's figures and tables, measured again"


@dataclass(frozen=True)
class PaperReport:
    """What was written.

    Attributes:
        html: The page.
        tables: All tables.
        files: Every file.
        claims: The paper's statements with what was found.
    """

    html: Path
    tables: Sequence[Table]
    files: Sequence[Path]
    claims: Sequence[Claim]


def build_paper(paths: Sequence[Path], out: Path) -> PaperReport:
    """Draw everything from finished runs; no model is loaded and no run is changed.

    Args:
        paths: Folders of runs, and files of dumps.
        out: Where to.

    Raises:
        UserError: a path is no run that the paper has a figure of, or `out` holds something else.
    """
    check_out(out)
    sources = read_sources(paths)
    items = make_items(sources)
    claims = [claim for item in items for claim in item.claims]
    verdicts = claims_table(claims)
    files = [*verdicts.write(out / "tables")]
    inlined: dict[str, dict[str, object]] = {}
    for item in items:
        for table in item.tables:
            files += table.write(out / "tables")
        for name, picture in item.pictures.items():
            rendered = render(picture.draw)
            files += rendered.write(out / "figures" / name)
            inlined.setdefault(item.name, {})[name] = inline(rendered, name, picture.alt)
    page = _page(items, inlined, claims, sources, paths)
    html = write_file(out / PAGE, page)
    claim_folder(paths, out)
    tables = [verdicts, *(table for item in items for table in item.tables)]
    return PaperReport(html, tables, [html, *files], claims)


def check_out(out: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        UserError: it does, or is a file.
    """
    if out.is_file():
        raise UserError(f"{out} is a file, not a folder", "choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / FILE).is_file():
        raise UserError(f"{out} is not empty and no folder of hisa-eval paper", "choose another --out")


def claim_folder(paths: Sequence[Path], out: Path) -> None:
    """Mark a folder as one of `hisa-eval paper`, so that it is taken up again.

    Args:
        paths: What is drawn from.
        out: The folder; made here.
    """
    facts = {"format_version": 1, "command": "paper", "runs": [str(path) for path in paths]}
    write_file(out / FILE, json.dumps(facts, indent=1) + "\n")


def make_items(sources: Sources) -> list[Item]:
    """All figures and tables, in the paper's order."""
    niah, longbench = sources.studies.get("niah", ()), sources.studies.get("longbench", ())
    return [
        speed_item(sources.measured),
        needles_item(niah),
        scores_item(longbench),
        attention_item(sources.folders.get("attention", ())),
        sensitivity_item(longbench, sources.folders.get("sweep", ())),
        overlap_item(sources.folders.get("fidelity", ()), [*longbench, *niah]),
    ]


def claims_table(claims: Sequence[Claim]) -> Table:
    """Every statement of the paper with what was found, the setting behind each."""
    columns = ["figure", "the paper", "found", "verdict", "why", "measured on"]
    rows = [
        [
            Cell(one.item),
            Cell(one.paper),
            Cell(one.found),
            Cell(str(one.verdict)),
            Cell(one.why),
            Cell(one.setting or "–"),
        ]
        for one in claims
    ]
    data = pd.DataFrame([vars(one) | {"verdict": str(one.verdict)} for one in claims])
    notes = [
        "Rules: scores are close where the whole 95% interval of the paired difference lies within "
        f"±{MARGIN:g}; "
        f"speed-ups are the same within {NEAR:.0%}; an interval that crosses a bound cannot tell."
    ]
    return Table("claims", "What the paper says, and what was found", columns, rows, data, notes, n_keys=6)


def in_words(claims: Sequence[Claim]) -> list[str]:
    """Sentences on what agrees, what differs and what is not known, one for each kind that occurs."""
    counts = Counter(one.verdict for one in claims)
    sentences = []
    for verdict, words in _WORDS.items():
        if counts[verdict]:
            items = Counter(one.item for one in claims if one.verdict is verdict)
            where = ", ".join(f"{n} on {item}" for item, n in items.items())
            sentences.append(f"{counts[verdict]} of {len(claims)} statements {words}: {where}.")
    mark = ": not the paper's setting"
    unlike = sorted({one.setting.partition(mark)[0] for one in claims if mark in one.setting})
    if unlike:
        sentences.append(f"Measured outside the paper's setting: {'; '.join(unlike)}.")
    return sentences


_WORDS = {
    Verdict.AGREES: "agree with what was measured",
    Verdict.DIFFERS: "differ from it",
    Verdict.OPEN: "cannot be told from these samples",
    Verdict.OTHER: "were measured in a way that cannot be compared",
    Verdict.MISSING: "were not measured",
}


def _page(
    items: Sequence[Item],
    pictures: dict[str, dict[str, object]],
    claims: Sequence[Claim],
    sources: Sources,
    paths: Sequence[Path],
) -> str:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("hisa_eval.paper"), PackageLoader("hisa_eval.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    runs = [
        {"name": str(run.path), "facts": run_facts(run), "command": command_line(run)}
        for studies in sources.studies.values()
        for study in studies
        for run in study.runs
    ]
    return environment.get_template("paper.html.j2").render(
        title=TITLE,
        words=in_words(claims),
        claims=claims_table(claims),
        items=items,
        pictures=pictures,
        runs=runs,
        paths=[str(path) for path in paths],
    )
