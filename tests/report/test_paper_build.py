"""The paper's figures from finished runs: what is drawn, what is said of it, and in which words."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hisa_eval.errors import UserError
from hisa_eval.paper import PaperReport, build_paper
from hisa_eval.paper.attention import read_attention
from hisa_eval.paper.build import in_words
from hisa_eval.paper.published import TABLE_1, average
from hisa_eval.paper.sources import latency_setting, setting
from hisa_eval.paper.speed import choose, maker, speedups
from hisa_eval.paper.verdict import Claim, Verdict
from hisa_eval.report.latency_study import load_latency

KERNELS = Path(__file__).parents[2] / "results/reference/h200-kernels-shapes"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, write: Callable[..., Path]) -> PaperReport:
    folder = tmp_path_factory.mktemp("paper")
    run = write(folder / "niah", samples=8, layers=2)
    return build_paper([KERNELS, run], folder / "out")


def _of(report: PaperReport, item: str, words: str) -> list[Claim]:
    return [one for one in report.claims if one.item == item and words in one.paper]


def test_every_figure_has_its_files_and_every_gap_its_words(made: PaperReport) -> None:
    names = {path.name for path in made.files}
    for stem in ("F2-speedup", "F2-latency-hisa-kernels", "F3-needles", "V1-4a-iou-by-layer"):
        assert {f"{stem}.png", f"{stem}.pdf"} <= names
    for stem in ("claims", "F2-speedup", "F3-needles-accuracy", "T1-longbench", "V1-4-iou"):
        assert {f"{stem}.md", f"{stem}.csv", f"{stem}.tex"} <= names
    page = made.html.read_text(encoding="utf-8")
    assert "No run of LongBench was given" in page
    assert "No dump was given" in page
    assert "not the paper's setting" in page.replace("&#39;", "'")
    assert "http" not in page.split("<main>")[1].replace("http://www.w3.org", "")


def test_words_follow_the_scores(tmp_path: Path, write: Callable[..., Path]) -> None:
    def level(hisa: float) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
        # Every second context of each indexer's own kind is right, so that pairs differ or do not.
        def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
            means = {"dsa": 1.0, "hisa": hisa, "block-sparse": 0.0}
            return [{**one, "score": means[one["indexer"]]} for one in records]

        return change

    found = {}
    for name, hisa in (("same", 1.0), ("lost", 0.0)):
        run = write(tmp_path / name, samples=40, depths=(0.0, 50.0), layers=0, change=level(hisa))
        made = build_paper([run], tmp_path / f"{name}-out")
        found[name] = [one.verdict for one in _of(made, "F3", "HISA finds")]
    # 80 contexts without any difference bound it within the margin; where all are lost there is no spread.
    assert found["same"][0] is Verdict.AGREES
    assert found["lost"][0] is not Verdict.AGREES


def test_a_loss_in_most_contexts_differs(tmp_path: Path, write: Callable[..., Path]) -> None:
    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                **one,
                "score": float(one["indexer"] == "dsa" or (one["indexer"] == "hisa" and one["sample"] < 4)),
            }
            for one in records
        ]

    made = build_paper([write(tmp_path / "run", samples=12, layers=0, change=change)], tmp_path / "out")
    close, better = _of(made, "F3", "HISA finds")
    assert close.verdict is Verdict.DIFFERS
    assert better.verdict is Verdict.AGREES
    assert "n = 72 pairs in 24 contexts" in close.found
    assert in_words(made.claims)[0].startswith("1 of ")


def test_speedups_are_those_of_the_measurement(made: PaperReport) -> None:
    measured = load_latency(KERNELS)
    chosen = choose([measured])
    assert chosen is not None
    batch = chosen[1]
    assert batch.records[0]["case"]["queries"] == 1024
    rows = speedups(batch)
    own = rows[(rows["method"] == "public TileLang HISA") & (rows["mode"] == "fixed")].set_index("context")
    by_name = {
        (one["method"], one["case"]["context"], one["case"]["mode"]): one["total"]["ms"]
        for one in batch.records
        if one["status"] == "ok"
    }
    flat = by_name["public TileLang flat + torch.topk", 65_536, "flat"]
    hisa = by_name["public TileLang HISA", 65_536, "m = 64"]
    assert own.loc[65_536, "factor"] == pytest.approx(flat / hisa)
    # Section 8 of the work ratio: L / (L / B + m B).
    assert own.loc[65_536, "work"] == pytest.approx(65_536 / (512 + 8192))
    assert rows[rows["mode"] == "ratio"]["work"].round(2).unique().tolist() == [3.88]
    claims = _of(made, "F2", "3.75 times")
    assert len(claims) == 2
    assert all("H200" in one.setting and "A100" in one.setting for one in claims)
    assert maker("DeepGEMM + torch.topk") == "DeepGEMM"


def test_table_1_holds_the_papers_cells_and_averages(made: PaperReport) -> None:
    path = next(one for one in made.files if one.name == "T1-longbench.csv")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    cells = {(one["model"], one["indexer"], one["column"]): float(one["score"]) for one in rows}
    assert cells["DeepSeek-V3.2", "hisa", "SQA"] == 49.17
    # As printed in the paper.
    printed = {"DeepSeek-V3.2": (51.05, 49.54, 50.78), "GLM-5": (46.01, 42.67, 46.32)}
    for model, averages in printed.items():
        for method, value in zip(("dsa", "block-sparse", "hisa"), averages, strict=True):
            assert average(TABLE_1[model][method]) == value
            assert cells[model, method, "Avg"] == value


def test_iou_is_told_on_rows_that_can_differ(made: PaperReport) -> None:
    words = [one.paper for one in _of(made, "V1-4", "mean IoU")]
    assert any("all rows" in one for one in words)
    assert any("beyond" in one for one in words)
    assert {one.verdict for one in _of(made, "V1-4", "mean IoU")} == {Verdict.DIFFERS}


def test_settings_say_what_is_not_the_papers() -> None:
    assert "not the paper's" in setting({"model": {"name": "nano"}, "device": {"type": "cpu"}})
    assert "mini is not LongBench" in setting({"command": "mini", "model": {"name": "GLM-5"}})
    assert "not the paper's" not in setting(
        {"model": {"name": "deepseek-ai/DeepSeek-V3.2"}, "device": {"name": "NVIDIA H200"}}
    )
    assert "not the paper's" in latency_setting({"device": {"type": "cpu"}}, 64)


def test_attention_keeps_its_mass(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    rows = np.random.default_rng(0).random((2, 3, 1000)).astype(np.float32)
    rows /= rows.sum(-1, keepdims=True)
    file = tmp_path / "dump.safetensors"
    save_file({f"layer.{place}.attention": rows[place] for place in (0, 1)}, file, metadata={"model": "nano"})
    layers, mass, n_keys, where = read_attention(file)
    assert (layers, n_keys) == ([0, 1], 1000)
    np.testing.assert_allclose(mass.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(mass[1, 0], rows[1, -1, :7].sum(), rtol=1e-5)
    assert "not the paper's" in where


def test_wrong_folders_are_refused(tmp_path: Path, write: Callable[..., Path]) -> None:
    run = write(tmp_path / "run", layers=0)
    with pytest.raises(UserError, match="given twice"):
        build_paper([run, run], tmp_path / "out")
    with pytest.raises(UserError, match="no finished run"):
        build_paper([tmp_path], tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("do not lose me", encoding="utf-8")
    with pytest.raises(UserError, match="not empty"):
        build_paper([run], tmp_path / "full")
    copy = tmp_path / "kernels"
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("figures", "tables"))
    (copy / "results.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        build_paper([copy], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_statements_of_figure_5_name_their_configuration(tmp_path: Path) -> None:
    runs = Path(__file__).parents[2] / "results/reference/paper-h200/runs"
    made = build_paper([runs / "longbench"], tmp_path / "out")
    texts = [one.paper for one in made.claims if one.item == "F5"]
    assert len(texts) == len(set(texts)) == 8
    assert any("hisa:block_size=256,num_blocks=32" in text for text in texts)
    lowest = _of(made, "F5", "Block-Sparse scores lowest")
    assert [one.verdict for one in lowest] == [Verdict.AGREES] * 3
