"""Tables and figure of whole answers, from a made-up store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hisa_eval.errors import UserError
from hisa_eval.report.end_to_end import EndToEnd, load_end_to_end
from hisa_eval.report.end_to_end_build import build_end_to_end_report
from hisa_eval.report.end_to_end_tables import break_even_table, gate_table, times_table
from hisa_eval.report.figures.end_to_end import draw_end_to_end
from hisa_eval.run.manifest import collect_environment
from hisa_eval.run.store import RunStore

LENGTHS = [4096, 8192, 16384]
IDS = [5, 6, 7, 8, 9]
Answer = dict[str, Any]


def answer(first: float, each: float, *, exact: int | None, ids: list[int] = IDS) -> Answer:
    """Figures of one timed answer, the same in all repetitions but for a tenth more in each."""
    return {"first": first, "each": each, "exact": exact, "ids": ids}


def store(folder: Path, answers: dict[tuple[str, int], Answer | str], *, repetitions: int = 3) -> Path:
    """A finished run with these answers; a text in place of one is the reason why it failed."""
    labels = list(dict.fromkeys(label for label, _ in answers))
    settings = {
        "command": "end-to-end",
        "model": "nano",
        "indexer": [label for label in labels if label != "transformers"],
        "stock": "transformers" in labels,
        "lengths": LENGTHS,
        "repetitions": repetitions,
        "max_new_tokens": len(IDS),
        "dtype": "f32",
        "topk": 2048,
    }
    environment = collect_environment(
        command="end-to-end", device={"type": "cpu", "name": "test", "threads": 2}, seed=0
    )
    with RunStore.create_or_open(folder, settings, environment) as made:
        for (label, length), one in answers.items():
            for number in range(repetitions):
                made.append(record(label, length, number, one))
    return folder


def record(label: str, length: int, number: int, one: Answer | str) -> dict[str, Any]:
    """A line of the store."""
    facts = {
        "key": f"{label} {length} {number}",
        "sample_id": f"end-to-end/{length}/{number}",
        "indexer": label,
        "length": length,
        "sample": number,
        "n_prompt_tokens": length - len(IDS),
        "n_total_tokens": length,
    }
    if isinstance(one, str):
        return {**facts, "status": "failed", "score": None, "reason": one}
    slower = 1 + number / 10
    return {
        **facts,
        "status": "ok",
        "score": 1.0,
        "reason": None,
        "n_generated": len(one["ids"]),
        "seconds": {"prefill": one["first"] * slower, "decode": one["each"] * slower * (len(IDS) - 1)},
        "details": {
            "ids": one["ids"],
            "exact_below": one["exact"],
            "decoding": "eager",
            "peak_bytes": 512 << 20,
        },
    }


def answers() -> dict[tuple[str, int], Answer | str]:
    """Flat DSA; an indexer that breaks even between 8K and 16K; the stock model, which runs out of memory."""
    flat, own = 2**53, 8192
    return {
        ("dsa", 4096): answer(1.0, 0.01, exact=flat),
        ("hisa", 4096): answer(1.0, 0.02, exact=own),
        ("transformers", 4096): answer(2.0, 0.04, exact=None, ids=[5, 6, 0, 8, 9]),
        ("dsa", 8192): answer(2.0, 0.02, exact=flat),
        ("hisa", 8192): answer(4.0, 0.02, exact=own),
        ("transformers", 8192): answer(8.0, 0.04, exact=None),
        ("dsa", 16384): answer(8.0, 0.04, exact=flat),
        ("hisa", 16384): answer(4.0, 0.08, exact=own, ids=[5, 0, 0, 0, 0]),
        ("transformers", 16384): "out of memory: host",
    }


@pytest.fixture
def measured(tmp_path: Path) -> EndToEnd:
    return load_end_to_end(store(tmp_path / "run", answers()))


def row(measured: EndToEnd, context: str, label: str) -> list[str]:
    """Texts of one row of the main table."""
    rows = [[cell.text for cell in row] for row in times_table(measured).rows]
    return next(row for row in rows if row[:2] == [context, label])


def test_medians_spread_and_ratios(measured: EndToEnd) -> None:
    assert row(measured, "8K", "dsa")[2:] == [
        "2.2 [2, 2.4]",
        "22 [20, 24]",
        "3,580",
        "512",
        "reference",
    ]
    assert row(measured, "8K", "hisa")[2] == "4.4 [4, 4.8] 0.50×"
    assert row(measured, "8K", "transformers")[3] == "44 [40, 48] 0.50×"


def test_ratios_are_of_pairs(measured: EndToEnd) -> None:
    # Every repetition is a tenth slower, of both: their ratio has no spread.
    assert measured.ratio("hisa", 16384, "first") == pytest.approx((2.0, 2.0, 2.0))


def test_tokens_are_held_only_where_the_selection_is_flat(measured: EndToEnd) -> None:
    assert row(measured, "8K", "hisa")[-1] == "5/5 held"
    assert row(measured, "16K", "hisa")[-1] == "1/5 free"
    assert row(measured, "4K", "transformers")[-1] == "2/5 free"
    assert [one.label for one in measured.wrong] == ["transformers"]


def test_another_token_where_there_may_be_none_is_red_and_has_no_time(tmp_path: Path) -> None:
    made = answers()
    made["hisa", 8192] = answer(0.1, 0.01, exact=8192, ids=[5, 6, 7, 0, 9])
    found = load_end_to_end(store(tmp_path / "run", made))
    assert row(found, "8K", "hisa")[2:] == ["–", "–", "–", "–", "RED"]
    assert found.ratio("hisa", 8192, "first") is None
    gate = gate_table(found)
    assert gate is not None
    assert "token 4 of 5 is not flat DSA's" in gate.markdown()
    data = times_table(found).data
    red = data[(data["indexer"] == "hisa") & (data["context"] == 8192)]
    assert red["first_seconds"].isna().all()


def test_one_red_repetition_is_enough(tmp_path: Path) -> None:
    folder = store(tmp_path / "run", answers())
    manifest = RunStore.read(folder).manifest
    bad = record("hisa", 4096, 2, answer(1.0, 0.02, exact=8192, ids=[5, 6, 7, 8, 0]))
    with RunStore.create_or_open(folder, manifest["settings"], {}) as made:
        made.append(bad)
    assert row(load_end_to_end(folder), "4K", "hisa")[-1] == "RED"


def test_without_flat_dsa_nothing_is_checked(tmp_path: Path) -> None:
    made: dict[tuple[str, int], Answer | str] = {**answers(), ("dsa", 4096): "out of memory: host"}
    found = load_end_to_end(store(tmp_path / "run", made))
    assert row(found, "4K", "hisa")[-1] == "unchecked"
    assert row(found, "4K", "dsa")[-1] == "FAILED"


def test_break_even_is_interpolated_or_denied(measured: EndToEnd) -> None:
    table = break_even_table(measured)
    assert table is not None
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert rows["hisa"][0] == "11.3K (between 8K and 16K)"
    assert rows["hisa"][1] == "none within the measured range"
    assert rows["transformers"] == ["none within the measured range"] * 3


def test_an_unfinished_measurement_is_drawn(tmp_path: Path) -> None:
    part = {place: one for place, one in answers().items() if place[1] < 16384}
    found = load_end_to_end(store(tmp_path / "run", part))
    assert row(found, "16K", "hisa")[-1] == "missing"
    _, written = build_end_to_end_report(found)
    assert {path.suffix for path in written} == {".md", ".csv", ".tex", ".png", ".pdf"}


def test_the_figure_has_a_line_for_each_and_says_what_is_left_out(measured: EndToEnd) -> None:
    figure = draw_end_to_end(measured)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "time to first token (s)",
        "time per further token (ms)",
        "tokens a second, whole answer",
        "peak memory (MiB)",
    ]
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels == ["dsa", "hisa", "transformers"]
    dotted = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":"]
    assert len(dotted) == 1
    assert dotted[0].get_xdata()[0] == pytest.approx(1.5)
    supxlabel = figure._supxlabel  # type: ignore[attr-defined]
    assert "transformers at 16,384: failed" in supxlabel.get_text().replace("\n", " ")


def test_another_run_is_refused(tmp_path: Path) -> None:
    with RunStore.create_or_open(tmp_path / "other", {"a": 1}, {"command": "niah"}):
        pass
    with pytest.raises(UserError, match="is a run of niah"):
        load_end_to_end(tmp_path / "other")
