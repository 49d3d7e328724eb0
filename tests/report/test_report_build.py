"""The whole report: files, reproducibility, no display."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hisa_eval.errors import UserError
from hisa_eval.report import build_report

STORE = {"manifest.json", "samples.jsonl"}
NASTY = "</td></script><!--<script>alert(1)</script> & 42\u2028not it"
SMALL = {
    "lengths": (8192, 16384),
    "depths": (0.0, 50.0),
    "samples": 2,
    "layers": 1,
    "indexers": ("dsa", "hisa"),
}


def derived(path: Path) -> dict[str, bytes]:
    """Every derived file."""
    files = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return {name: data for name, data in files.items() if name not in STORE}


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, write: Callable[..., Path], fail: Callable[..., Any]
) -> Path:
    """A small run with a failed cell, and its report."""

    def one_failed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        records[0]["prediction"] = NASTY
        return [
            fail(record)
            if (record["indexer"], record["length"], record["depth"]) == ("hisa", 16384, 50.0)
            else record
            for record in records
        ]

    path = write(tmp_path_factory.mktemp("runs") / "run", change=one_failed, **SMALL)
    before = {name: (path / name).read_bytes() for name in STORE}
    paths = build_report([path])
    assert {name: (path / name).read_bytes() for name in STORE} == before
    for file in (paths.html, *paths.summary, *paths.fidelity, *paths.tables, *paths.figures):
        assert file.stat().st_size > 0
        assert path in file.parents
    return path


def test_every_promised_file_is_there(built: Path) -> None:
    figures = (
        "heatmap-dsa",
        "heatmap-hisa",
        "heatmaps",
        "differences",
        "accuracy-by-length",
        "iou-by-length",
    )
    tables = ("accuracy", "difference", "fidelity", "evidence", "seconds")
    promised = {"report.html", "summary.csv", "summary.parquet", "fidelity.csv", "fidelity.parquet"}
    promised |= {f"figures/{name}.{form}" for name in figures for form in ("png", "pdf")}
    promised |= {f"tables/{name}.{form}" for name in tables for form in ("md", "csv", "tex")}
    assert promised <= set(derived(built))


def test_summary_counts_failures_and_never_scores_them(built: Path) -> None:
    frame = pd.read_csv(built / "summary.csv")
    assert len(frame) == 2 * 2 * 2
    bad = frame[(frame["indexer"] == "hisa") & (frame["length"] == 16384) & (frame["depth"] == 50)].iloc[0]
    assert (bad["n"], bad["n_failed"]) == (0, 2)
    assert pd.isna(bad["score"])
    assert frame["n"].sum() + frame["n_failed"].sum() == 16
    again = pd.read_parquet(built / "summary.parquet")
    pd.testing.assert_frame_equal(again.astype(object), frame.astype(object), check_dtype=False)


REBUILD = """
import sys
from hisa_eval.report import build_report
build_report([sys.argv[1]])
loaded = {"torch", "transformers", "matplotlib.pyplot"} & set(sys.modules)
sys.exit(f"loaded {loaded}" if loaded else 0)
"""


def test_rebuild_is_identical_without_display_and_with_other_user_settings(
    built: Path, tmp_path: Path
) -> None:
    before = derived(built)
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nfigure.dpi: 37\naxes.grid: True\n")
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "NO_COLOR": "1", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", REBUILD, str(built)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    after = derived(built)
    assert [name for name in before if before[name] != after.get(name)] == []
    assert set(after) == set(before)


def test_order_and_times_of_a_resumed_run_change_only_times(
    built: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    lines = [json.loads(line) for line in (built / "samples.jsonl").read_text("utf-8").split("\n") if line]

    def resumed(_: list[dict[str, Any]]) -> list[dict[str, Any]]:
        later = [{**line, "n_reused_tokens": 0} for line in lines]
        for line in later:
            line["seconds"] = {"prefill": 9.0, "decode": 9.0, "build": 9.0}
        random.Random(1).shuffle(later)
        return later

    path = write(tmp_path / "another-name", change=resumed, **SMALL)
    build_report([path])
    first, second = derived(built), derived(path)
    changed = {name for name in first if first[name] != second.get(name)}
    assert {name for name in changed if not name.startswith("tables/seconds.")} == {
        "report.html",
        "summary.csv",
        "summary.parquet",
    }
    frames = [pd.read_csv(folder / "summary.csv") for folder in (built, path)]
    same = [frame.drop(columns=["prefill_seconds", "decode_seconds"]) for frame in frames]
    pd.testing.assert_frame_equal(*same)


class Page(HTMLParser):
    """Collects what a browser would fetch or run, and the text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}:
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page_is_self_contained(built: Path) -> None:
    source = (built / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert [link for link in page.links if not link.startswith(("#", "data:image/"))] == []
    assert "http://" not in source
    assert "https://" not in source
    assert "@import" not in source
    assert set(re.findall(r"url\((.)", source)) <= {"#"}
    assert "default-src 'none'" in source
    assert page.tags.count("svg") >= 4
    assert page.tags.count("table") >= 10
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    assert "prefers-color-scheme: dark" in source
    assert "not run yet" not in source


def test_page_escapes_what_models_and_tasks_say(built: Path) -> None:
    source = (built / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert page.tags.count("script") == 2, "the samples as JSON, and the page's own"
    assert "alert(1)" not in re.sub(r"(&lt;|\\u003c)script(&gt;|\\u003e)alert\(1\)", "", source)
    (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', source, re.DOTALL)
    assert not set(data) & set("<>&\u2028")
    assert NASTY in json.loads(data)["texts"]
    words = "".join(page.words)
    assert "nano: a small byte-level model & <i>nothing</i> else." in words
    assert "for <b>rowan & birch</b>?" in words
    assert words.count("out of memory: 9.1 GB needed & 8 GB free") == 4, (
        "in the list of failures, and without JavaScript in the samples"
    )
    assert "hisa-eval niah --lengths 8k..16k --model nano" in words


def test_comparison_of_two_runs(tmp_path: Path, write: Callable[..., Path]) -> None:
    tiny = {"indexers": ("dsa",), "lengths": (8192,), "depths": (50.0,), "samples": 1, "layers": 0}
    one = write(tmp_path / "one", **tiny)
    two = write(tmp_path / "two", **tiny, model="nano-hier", seed=4)
    out = tmp_path / "compared"
    paths = build_report([one, two], out)
    assert paths.folder == out
    assert [part.folder for part in paths.parts] == [one, two]
    frame = pd.read_csv(out / "summary.csv")
    assert list(frame["indexer"]) == ["dsa · nano", "dsa · nano-hier"]
    assert list(pd.read_csv(one / "summary.csv")["indexer"]) == ["dsa"]
    assert "nano-hier: a small byte-level model" in (out / "report.html").read_text(encoding="utf-8")
    assert {"heatmap-dsa-nano.png", "heatmap-dsa-nano-hier.png"} <= {path.name for path in paths.figures}


def test_comparison_writes_over_nothing(tmp_path: Path, write: Callable[..., Path]) -> None:
    one, two = (write(tmp_path / name, layers=0) for name in ("one", "two"))
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("x")
    for dirs, out, said in (
        ([one, two], foreign, "not empty and not a report"),
        ([one, two], one, "is a run of its own"),
        ([one, two], foreign / "chapter.tex", "is a file"),
        ([one], tmp_path / "out", "one run cannot be compared"),
        ([], None, "no run to report on"),
        ([foreign], None, "holds no run"),
    ):
        with pytest.raises(UserError, match=said):
            build_report(dirs, out)
    assert [entry.name for entry in foreign.iterdir()] == ["chapter.tex"]
    assert derived(one) == {}


def test_run_without_a_finished_sample_has_a_report(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(tmp_path / "run", change=lambda _: [], indexers=("dsa",), lengths=(8192,), depths=(50.0,))
    paths = build_report([path])
    source = paths.html.read_text(encoding="utf-8")
    assert "No sample was scored." in source
    assert "0 samples scored, none failed, 2 not run yet." in source
    assert "| 8K | – | – |" in (path / "tables/accuracy.md").read_text(encoding="utf-8")
