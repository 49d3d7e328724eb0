"""The page as a reader meets it: in a browser, at two widths, in light and dark, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hisa_eval.report.accuracy import grouped_scores
from hisa_eval.report.fidelity import evidence, fidelity
from hisa_eval.report.fidelity_build import comparison_tables
from hisa_eval.report.fidelity_rows import load_compared
from hisa_eval.report.page import Page, Section, html_page
from hisa_eval.report.page.explorer import MOST_BYTES, Explorer, Field
from hisa_eval.report.page.fidelity import fidelity_page
from hisa_eval.report.page.render import MOST_ROWS
from hisa_eval.report.page.study import study_page
from hisa_eval.report.score_tables import accuracy_table, difference_table
from hisa_eval.report.selection_tables import evidence_table, fidelity_table, seconds_table
from hisa_eval.report.study import Study, load_study
from hisa_eval.report.table import Cell, Table

NASTY = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> & 42"
LOST = ("hisa", 16384, 50.0)


def page_of(study: Study, tasks: Sequence[str] = ()) -> str:
    """A run's page without its figures, which no test here looks at and which take the longest."""
    agreement, shares = fidelity(study), evidence(study)
    made = [
        accuracy_table(study),
        difference_table(study),
        fidelity_table(agreement),
        evidence_table(shares),
        seconds_table(study),
    ]
    tables = {one.name: one for one in made if one is not None}
    cells = grouped_scores(study, ["task", "length", "depth"])
    return html_page(study_page(study, "A run", tables, {}, cells, agreement, shares, tasks))


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, write: Callable[..., Path], fail: Callable[..., Any]
) -> Study:
    """Two indexers, two lengths, two depths, two samples; one sample failed, one answer is hostile."""

    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for record in records:
            if (record["indexer"], record["length"], record["depth"]) == LOST:
                said = {"prediction": NASTY, "score": 0.0, "evidence_at": [10.0, 49.5]}
                record = fail(record) if record["sample"] else {**record, **said}
            found.append(record)
        return found

    path = tmp_path_factory.mktemp("page") / "run"
    shape = {"indexers": ("dsa", "hisa"), "depths": (0.0, 50.0), "samples": 2, "layers": 3}
    return load_study([write(path, change=change, **shape)])


@pytest.fixture(scope="module")
def page(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's page."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_of(study), encoding="utf-8")
    return path


def texts(browser: Any, selector: str) -> list[str]:
    """Texts of the elements that a reader sees."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())"
        ".map((e) => e.innerText)"
    )
    found: list[str] = browser.run(script, selector)
    return found


def cell_of(browser: Any, series: str, row: int, column: int) -> Any:
    """A cell of the first heatmap of an indexer."""
    return browser.run(
        "return document.querySelector(`table.heat[data-series='${arguments[0]}']`)"
        ".tBodies[0].rows[arguments[1]].cells[arguments[2] + 1]",
        *(series, row, column),
    )


def hover(browser: Any, element: Any) -> str:
    """What is shown while the mouse is on an element."""
    from selenium.webdriver.common.action_chains import ActionChains

    browser.run("arguments[0].scrollIntoView({block: 'center'})", element)
    ActionChains(browser.driver).move_to_element(element).perform()
    return "".join(texts(browser, "#tip"))


def press(browser: Any, *keys: str) -> None:
    """Press keys on whatever has the focus."""
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser.driver).send_keys(*keys).perform()


def test_a_column_sorts_both_ways_by_mouse_and_keyboard(browser: Any, page: Path, study: Study) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.show(page)
    table = "#selection table.sortable"
    browser.run("document.querySelector('#selection details').open = true")
    names = texts(browser, f"{table} th")
    place = names.index("IoU")
    head = browser.driver.find_elements("css selector", f"{table} th button")[place]
    column = f"{table} tbody td:nth-child({place + 1})"
    before = [float(text) for text in texts(browser, column)]
    assert before != sorted(before), "there is something to sort"
    head.click()
    assert [float(text) for text in texts(browser, column)] == sorted(before)
    browser.run("arguments[0].focus()", head)
    press(browser, Keys.ENTER)
    assert [float(text) for text in texts(browser, column)] == sorted(before, reverse=True)
    assert texts(browser, f"{table} th[aria-sort=descending]") == ["IoU"]
    by_length = browser.driver.find_elements("css selector", f"{table} th button")[names.index("length")]
    by_length.click()
    lengths = texts(browser, f"{table} tbody td:nth-child({names.index('length') + 1})")
    assert lengths == sorted(lengths, key=lambda text: int(text[:-1])), "8K comes before 16K"
    assert browser.complaints() == []


def test_a_cell_tells_value_count_and_interval(browser: Any, page: Path, study: Study) -> None:
    browser.show(page)
    frame = grouped_scores(study, ["length", "depth"]).set_index(["indexer", "length", "depth"])
    for label in ("dsa", "hisa"):
        for row, depth in enumerate(study.depths):
            for column, length in enumerate(study.lengths):
                told = hover(browser, cell_of(browser, label, row, column))
                known = frame.loc[(label, length, depth)]
                assert told.startswith(f"{label}, {length // 1024}K, depth {depth:.0f} %: ")
                low, high = (f"{known[name]:.2f}" for name in ("ci_low", "ci_high"))
                assert f"{known['score']:.2f} [{low}, {high}], n = {known['n']}" in told
                assert ("1 failed" in told) == ((label, length, depth) == LOST)
    hover(browser, browser.driver.find_element("css selector", "h1"))
    assert texts(browser, "#tip") == []


def test_a_cell_leads_to_its_samples_and_a_sample_tells_all(browser: Any, page: Path, study: Study) -> None:
    browser.show(page)
    wanted = study.samples[
        (study.samples["series"] == "hisa")
        & (study.samples["length"] == 16384)
        & (study.samples["depth"] == 50)
    ]
    cell = cell_of(browser, "hisa", study.depths.index(50.0), study.lengths.index(16384))
    browser.run("arguments[0].scrollIntoView({block: 'center'})", cell)
    cell.click()
    assert texts(browser, ".controls output") == ["2 samples of 16"]
    assert texts(browser, ".samples tbody tr td:nth-child(3)") == ["0.00", "failed"]
    first, second = browser.driver.find_elements("css selector", ".samples .open")
    first.click()
    row = wanted.iloc[0]
    quotes = texts(browser, ".sheet > .quote")
    assert quotes[:3] == [row["prediction"].strip(), row["expected"], row["prompt_tail"]]
    facts = dict(zip(texts(browser, ".sheet dt"), texts(browser, ".sheet dd"), strict=True))
    assert facts["sample"] == row["sample_id"]
    assert facts["depth"].strip() == "50 %"
    assert facts["answer's text at"].strip() == "10 %, 49.5 %"
    assert len(browser.run("return [...document.querySelectorAll('.sheet .where > span')]")) == 1 + 2
    layers = [one for one in study.layers if (one["series"], one["sample_id"]) == ("hisa", row["sample_id"])]
    some = [str(one["layer"]) for one in layers if one["evidence"] > 0]
    assert facts["layers that selected some of the answer's text"] == f"{', '.join(some)} (of 3)"
    shares = texts(browser, ".sheet .layers tbody td:nth-child(2)")
    assert [float(text) for text in shares] == pytest.approx([one["evidence"] for one in layers], abs=0.01)
    assert texts(browser, ".sheet .other") == ["dsa, score 1.00"]
    first.click()
    second.click()
    assert wanted.iloc[1]["reason"] in texts(browser, ".sheet > .quote")
    assert browser.complaints() == []


def test_the_keyboard_reaches_cells_and_samples(browser: Any, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.show(page)
    for _ in range(20):
        press(browser, Keys.TAB)
        if browser.run("return document.activeElement.matches('table.heat td')"):
            break
    assert "dsa, 8K, depth 0 %" in "".join(texts(browser, "#tip"))
    press(browser, Keys.ARROW_RIGHT)
    press(browser, Keys.ARROW_DOWN)
    assert "dsa, 16K, depth 50 %" in "".join(texts(browser, "#tip"))
    press(browser, Keys.ENTER)
    assert texts(browser, ".samples tbody tr td:nth-child(2)") == ["dsa", "dsa"]
    press(browser, Keys.ENTER)
    assert "niah/single-number/prose/16384/d50/s0" in texts(browser, ".sheet dd")


def test_the_list_filters_searches_and_sorts(browser: Any, page: Path, study: Study) -> None:
    browser.show(page)
    search = browser.driver.find_element("css selector", ".controls input")
    search.send_keys("TAKEN")
    assert texts(browser, ".controls output") == ["1 sample of 16"]
    browser.driver.find_element("css selector", ".controls button").click()
    assert texts(browser, ".controls output") == ["16 samples"]
    names = texts(browser, ".samples th")
    browser.driver.find_elements("css selector", ".samples th button")[names.index("score")].click()
    shown = texts(browser, f".samples tbody td:nth-child({names.index('score') + 1})")
    known = [text for text in shown if text != "failed"]
    assert known == sorted(known)
    assert shown[-1] == "failed", "what has no score comes last"


def test_what_a_model_says_stays_text(browser: Any, page: Path) -> None:
    browser.show(page)
    for open_one in browser.driver.find_elements("css selector", ".samples .open"):
        browser.run("arguments[0].click()", open_one)
    assert NASTY in texts(browser, ".sheet > .quote")
    assert browser.driver.title == "A run"
    assert browser.run("return document.querySelectorAll('img, iframe, script:not([type])').length") == 1
    browser.run("const s = document.createElement('script'); s.textContent = \"document.title='taken'\";"
                "document.body.append(s)")  # fmt: skip
    assert browser.driver.title == "A run", "no script but the page's own runs"
    assert any("Content Security Policy" in said for said in browser.complaints())


def test_a_comparison_of_selections_has_a_page_too(browser: Any, tmp_path: Path) -> None:
    from hisa_eval.cli.main import main

    arguments = ("--synthetic", "spikes", "--lengths", "512", "--topk", "64", "--samples", "2", "--rows", "8")
    options = ("--indexer", "hisa:block_size=16,num_blocks=8", "--heads", "4", "--dim", "32")
    assert main(["fidelity", *arguments, *options, "--out", str(tmp_path / "run"), "--no-report", "-q"]) == 0
    compared = load_compared(tmp_path / "run")
    path = tmp_path / "report.html"
    path.write_text(html_page(fidelity_page(compared, comparison_tables(compared), {})), encoding="utf-8")
    for width, scheme in ((390, "dark"), (1280, "light")):
        browser.show(path, width=width, scheme=scheme)
        browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
        browser.run("for (const one of document.querySelectorAll('.samples .open')) one.click()")
        assert browser.flaws() == []
    last = compared.last[compared.last["indexer"] != "dsa"].iloc[0]
    context = texts(browser, ".samples > tbody > tr:not(.detail) > td:first-child")
    assert len(context) == 4
    assert f"{last['iou']:.2f}" in texts(browser, ".sheet .layers td:nth-child(4)")


@pytest.mark.parametrize("width", [390, 1280])
def test_everything_fits_and_can_be_read(browser: Any, page: Path, width: int) -> None:
    for scheme in ("light", "dark"):
        browser.show(page, width=width, scheme=scheme)
        browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
        browser.run("for (const one of document.querySelectorAll('.samples .open')) one.click()")
        assert browser.flaws() == []
        hover(browser, cell_of(browser, "hisa", 0, 1))
        box = browser.run("return document.getElementById('tip').getBoundingClientRect().toJSON()")
        assert 0 <= box["left"] < box["right"] <= width
        paper = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 26, 32)"}[scheme]


def test_the_page_is_useful_without_scripts(browser: Any, page: Path, study: Study) -> None:
    browser.show(page, width=390, scripts=False)
    try:
        source = "".join(texts(browser, "#samples td"))
        assert NASTY in source
        assert "rowan & birch" in source
        titles = browser.run("return [...document.querySelectorAll('.heat td[title]')].map((e) => e.title)")
        assert any(title.startswith("hisa, 16K, depth 50 %: 0.00") for title in titles)
        assert texts(browser, "#selection summary") == ["All figures by layer and length"]
        assert browser.run("return document.documentElement.scrollWidth") <= 390
    finally:
        browser.show(page)


def test_thousands_of_samples_and_rows_are_made_on_demand(browser: Any, tmp_path: Path) -> None:
    rows = [
        {"id": f"s{n}", "score": 0.0 if n % 1000 == 999 else 1.0, "text": f"{n:05} " + "x" * 2000}
        for n in range(6000)
    ]
    fields = [Field("id", "sample", "name", True), Field("score", "score", "share", True),
              Field("text", "prediction", "text", True)]  # fmt: skip
    explorer = Explorer("sample", fields, rows)
    data, n = explorer.packed()
    assert n < 6000, "there is no room for all"
    assert MOST_BYTES * 0.9 < len(data) < MOST_BYTES * 1.1
    table = Table("long", "A long table", ["n"], [[Cell(str(n), n)] for n in range(1000)], pd.DataFrame())
    path = tmp_path / "report.html"
    parts = [Section("long", "Long", [table]), Section("samples", "Samples", [explorer])]
    path.write_text(html_page(Page("Large", "", parts)), encoding="utf-8")
    browser.show(path)
    assert len(browser.run("return [...document.querySelectorAll('tr')].map(() => 1)")) < MOST_ROWS + 100
    assert f"room for {n:,} of 6,000" in browser.run("return document.body.innerText")
    select = browser.driver.find_element("css selector", ".controls select")
    select.send_keys("less")
    assert texts(browser, ".controls output") == [f"6 samples of {n:,}"], "no low score was left out"
    head = browser.driver.find_element("css selector", "#long th button")
    head.click()
    head.click()
    assert texts(browser, "#long td:first-child")[:2] == ["999", "998"]
    assert len(texts(browser, "#long td")) == 1000
