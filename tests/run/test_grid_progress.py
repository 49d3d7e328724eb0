"""What a run tells while it runs: cells counted once, time left from the cost still to come."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from hisa_eval.run.grid import Cell, Grid, Step, make_grid
from hisa_eval.run.progress import Bar, Cells, Clock, Lines, format_seconds


def record(score: float | None = 1.0, reason: str | None = None) -> dict[str, Any]:
    """The part of a record that progress looks at."""
    return {
        "score": score,
        "status": "failed" if reason else "ok",
        "reason": reason,
        "seconds": {"prefill": None if reason else 1.0, "decode": None if reason else 0.5, "build": 0.1},
    }


@pytest.fixture
def grid() -> Grid:
    """Two lengths, two depths, two samples, one indexer."""
    return make_grid([1024, 2048], [0, 50], 2, ["dsa"])


def test_a_cell_finishes_with_its_last_sample(grid: Grid) -> None:
    cells = Cells()
    cells.begin(grid)
    finished = [cells.add(step, record()) for step in grid.steps()]
    assert [len(one) if one else 0 for one in finished] == [0, 0, 2, 2, 0, 0, 2, 2]
    assert cells.finished == cells.total == 4


def test_time_left_is_measured_speed_times_remaining_cost(grid: Grid) -> None:
    time = [0.0]
    clock = Clock(lambda step: float(step.length), now=lambda: time[0])
    clock.begin(grid)
    steps = list(grid.steps())
    clock.finished(steps[0], reused=True)
    assert clock.left() is None
    clock.started()
    time[0] += 2.0
    clock.finished(steps[1], reused=False)
    assert clock.left() == pytest.approx((2 * 1024 + 4 * 2048) * 2.0 / 1024)
    for step in steps[2:]:
        clock.finished(step, reused=True)
    assert clock.left() == pytest.approx(0.0)


def test_lines_are_plain_and_one_per_cell(grid: Grid) -> None:
    stream = io.StringIO()
    lines = Lines(stream, lambda step: 1.0)
    lines.phase("loading nano on cpu ...")
    lines.begin(grid)
    for number, step in enumerate(grid.steps()):
        if step.length == 1024:
            lines.step_finished(step, record(), reused=True)
            continue
        lines.step_started(step)
        lines.step_finished(step, record(None, "out of memory") if number == 5 else record(0.5), reused=False)
    lines.end()
    text = stream.getvalue().splitlines()
    assert text[0] == "loading nano on cpu ..."
    assert len(text) == 5
    assert text[1].startswith("[1/4]    1k depth    50 % dsa: score 1.00 (n = 2), kept")
    assert any("1 failed: out of memory" in line and "score 0.50 (n = 1)" in line for line in text)
    assert all(line.isascii() for line in text)


def test_the_bar_shows_failures_above_itself(grid: Grid) -> None:
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=120), lambda step: 1.0)
    bar.begin(grid)
    for step in grid.steps():
        bar.step_started(step)
        bar.step_finished(step, record(None, "out of memory"), reused=False)
    bar.end()
    assert stream.getvalue().count("2 failed: out of memory") == 4
    assert "8/8 samples" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (200, "3 min 20 s"),
        (1500, "25 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_step_knows_its_cell() -> None:
    assert Step(8, "dsa", 3, 50.0).cell == Cell(8, 50.0, "dsa", "niah")
