"""Tables and figures of a measurement, from made-up records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.errors import UserError
from hisa_eval.report.latency import build_latency_report
from hisa_eval.report.latency_figure import draw_latency, shown_methods
from hisa_eval.report.latency_study import load_latency, speedup
from hisa_eval.report.latency_tables import gate_table, stages_table, totals_table
from hisa_eval.report.page import html_page
from hisa_eval.report.page.latency import latency_page


def test_totals_hold_the_best_flat_method_as_measure(folder: Path) -> None:
    tables, _ = build_latency_report(load_latency(folder))
    totals = next(table for table in tables if table.name.startswith("latency"))
    found = {(row[0].text, row[1].text): [cell.text for cell in row[2:]] for row in totals.rows}
    assert totals.columns[2:] == ["32K", "64K", "1M"]
    assert found["alpha + torch.topk", "flat"][0] == "4.00 [3.60, 4.40] 1.00×"
    assert found["alpha + torch.topk", "flat"][1].endswith(" 0.75×")
    assert found["beta + torch.topk", "flat"][0] == "RED"
    assert found["gamma HISA", "m = 64"] == [
        "1.00 [0.900, 1.10] 4.00×",
        "1.20 [1.08, 1.32] 5.00×",
        "3.00 [2.70, 3.30]",
    ]
    assert found["gamma HISA", "4:1"][0].endswith(" 8.00×")
    assert found["gamma HISA", "4:1"][2] == "–"
    assert "delta HISA" not in {name for name, _ in found}


def test_a_red_row_has_no_time_anywhere(folder: Path) -> None:
    _, written = build_latency_report(load_latency(folder))
    stages = next(path for path in written if path.name.startswith("stages") and path.suffix == ".csv")
    lines = [line for line in stages.read_text(encoding="utf-8").splitlines() if line.startswith("beta")]
    assert lines
    assert all(",65536," in line for line in lines)
    gate = next(path for path in written if path.name.startswith("gate") and path.suffix == ".md")
    assert "| RED |" in gate.read_text(encoding="utf-8")


def test_everything_is_written(folder: Path) -> None:
    _, written = build_latency_report(load_latency(folder))
    assert {path.suffix for path in written} == {".md", ".csv", ".tex", ".png", ".pdf", ".html"}
    assert all(path.stat().st_size for path in written)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_tells_each_speed_up(folder: Path, browser: Any, width: int) -> None:
    measured = load_latency(folder)
    tables = {
        one.name: [totals_table(one, on_cpu=False), stages_table(one), gate_table(one)]
        for one in measured.batches()
    }
    path = folder / "report.html"
    path.write_text(html_page(latency_page(measured, "Test GPU", tables, {})), encoding="utf-8")
    for scheme in ("light", "dark"):
        browser.show(path, width=width, scheme=scheme)
        browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
        assert browser.flaws() == []
    cells = browser.run(
        "return [...document.querySelectorAll('.heat td[data-tip]')].map((e) => [e.innerText, e.dataset.tip])"
    )
    tips = dict(tip.split(": ", 1) for _, tip in cells)
    told = "median 1 ms [0.9, 1.1], 9 passes; 4.00× the fastest flat method's speed"
    assert tips["gamma HISA, 32K, m = 64"] == told
    assert tips["beta + torch.topk, 32K"] == "RED, as the test wants it"
    assert ["4×", f"gamma HISA, 32K, m = 64: {told}"] in cells
    assert "failed" in [text for text, _ in cells]


def test_the_figure_shows_each_makers_best_and_both_budgets(folder: Path) -> None:
    (batch,) = load_latency(folder).batches()
    assert shown_methods(batch) == ["alpha + torch.topk", "beta + torch.topk", "gamma HISA"]
    figure = draw_latency(batch, "a device", 2.5)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["fixed budget, m = 64", "budget 4:1"]
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "c\n5.0×" in words
    assert "b red" in words
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["32K", "64K"], "a lone context would dwarf the others"


def test_speedup_needs_two_times(folder: Path) -> None:
    (batch,) = load_latency(folder).batches()
    red = batch.find("beta + torch.topk", "flat", 32768)
    assert red is not None
    assert speedup(batch, red) is None


def test_folders_of_something_else_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished measurement"):
        load_latency(tmp_path)
    (folder / "results.json").write_text("[", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        load_latency(folder)
    (folder / "results.json").write_text("[]", encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps({"format_version": 99}), encoding="utf-8")
    with pytest.raises(UserError, match="another format"):
        load_latency(folder)
