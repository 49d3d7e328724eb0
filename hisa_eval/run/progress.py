"""How a run tells where it is: a bar on a terminal, one line per finished cell elsewhere, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from hisa_eval.config.grammar import format_depth, format_length
from hisa_eval.run.grid import Cell, Layout, Step, cells_of

Cost = Callable[[Step], float]
"""Expected cost of a step in any unit; only ratios matter."""


def format_seconds(seconds: float) -> str:
    """A duration for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(seconds / 60)} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


class Clock:
    """Time left, from the cost of what is done and what remains.

    Args:
        cost: Expected cost of a step; its unit drops out against the time measured.
        now: Seconds of a monotonic clock.
    """

    def __init__(self, cost: Cost, now: Callable[[], float] = time.perf_counter) -> None:
        self._cost = cost
        self._now = now
        self._remaining = 0.0
        self._done = 0.0
        self._busy = 0.0
        self._since = now()

    def begin(self, layout: Layout) -> None:
        """Nothing is done yet."""
        self._remaining = sum(self._cost(step) for step in layout.steps())

    def started(self) -> None:
        """A step begins to take time."""
        self._since = self._now()

    def finished(self, step: Step, reused: bool) -> None:
        """A step is done; a reused one says nothing about speed."""
        cost = self._cost(step)
        self._remaining = max(0.0, self._remaining - cost)
        if not reused:
            self._busy += self._now() - self._since
            self._done += cost

    def left(self) -> float | None:
        """Seconds left; None until something was computed."""
        if not self._done:
            return None
        return self._remaining * self._busy / self._done


class Cells:
    """Counts a run's cells as their samples arrive."""

    def __init__(self) -> None:
        self._open: dict[Cell, list[Mapping[str, Any]]] = {}
        self._samples: dict[Cell, int] = {}
        self.total = 0
        self.finished = 0

    def begin(self, layout: Layout) -> None:
        """Nothing is finished yet."""
        self._samples = cells_of(layout)
        self._open = {cell: [] for cell in self._samples}
        self.total = len(self._open)

    def add(self, step: Step, record: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
        """The cell's records if this one completes it, else None."""
        records = self._open[step.cell]
        records.append(record)
        if len(records) < self._samples[step.cell]:
            return None
        self.finished += 1
        return self._open.pop(step.cell)


def place_words(cell: Cell) -> str:
    """Where a cell is: its length, its depth or else its task, and its indexer."""
    length = "" if cell.length is None else f"{format_length(cell.length):>5} "
    depth = cell.task if cell.depth is None else f"depth {format_depth(cell.depth):>5} %"
    return f"{length}{depth} {cell.indexer}"


def cell_line(cell: Cell, records: list[Mapping[str, Any]], reused: bool) -> str:
    """One finished cell in words: where, how good, how long."""
    scores = [record["score"] for record in records if record["status"] == "ok"]
    failed = len(records) - len(scores)
    seconds = sum((record["seconds"][part] or 0.0) for record in records for part in ("prefill", "decode"))
    place = place_words(cell)
    result = f"score {sum(scores) / len(scores):.2f} (n = {len(scores)})" if scores else "no score"
    if failed:
        reason = next(record["reason"] for record in records if record["status"] != "ok")
        return f"{place}: {result}, {failed} failed: {reason}"
    return f"{place}: {result}, {'kept' if reused else format_seconds(seconds)}"


class Silent:
    """Says nothing."""

    def phase(self, text: str) -> None:
        """A slow part of the start begins."""

    def begin(self, layout: Layout) -> None:
        """The run is about to begin."""

    def step_started(self, step: Step) -> None:
        """A step is about to be computed."""

    def step_finished(self, step: Step, record: Mapping[str, Any], reused: bool) -> None:
        """A step has its record."""

    def end(self) -> None:
        """No step will follow."""


class Lines(Silent):
    """One plain line per finished cell.

    Args:
        stream: Where to write, usually standard error.
        cost: Expected cost of a step, for the time left.
    """

    def __init__(self, stream: TextIO, cost: Cost) -> None:
        self._stream = stream
        self._clock = Clock(cost)
        self._cells = Cells()
        self._computed: set[Cell] = set()

    def phase(self, text: str) -> None:
        """A slow part of the start begins."""
        print(text, file=self._stream, flush=True)

    def begin(self, layout: Layout) -> None:
        """The run is about to begin."""
        self._clock.begin(layout)
        self._cells.begin(layout)

    def step_started(self, step: Step) -> None:
        """A step is about to be computed."""
        self._clock.started()
        self._computed.add(step.cell)

    def step_finished(self, step: Step, record: Mapping[str, Any], reused: bool) -> None:
        """A step has its record."""
        self._clock.finished(step, reused)
        records = self._cells.add(step, record)
        if records is None:
            return
        width = len(str(self._cells.total))
        count = f"[{self._cells.finished:>{width}}/{self._cells.total}]"
        left = self._clock.left()
        note = f", {format_seconds(left)} left" if left else ""
        line = cell_line(step.cell, records, reused=step.cell not in self._computed)
        print(f"{count} {line}{note}", file=self._stream, flush=True)


class Bar(Silent):
    """A progress bar with the time left, for a terminal; failed cells are printed above it.

    Args:
        console: A console on standard error.
        cost: Expected cost of a step, for the time left.
    """

    def __init__(self, console: Console, cost: Cost) -> None:
        self._console = console
        self._clock = Clock(cost)
        self._cells = Cells()
        self._progress = Progress(
            TextColumn("[cyan]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} samples"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def phase(self, text: str) -> None:
        """A slow part of the start begins."""
        self._console.print(Text(text, style="dim"))

    def begin(self, layout: Layout) -> None:
        """The run is about to begin."""
        self._clock.begin(layout)
        self._cells.begin(layout)
        self._task = self._progress.add_task("starting", total=len(layout), left="")
        self._progress.start()

    def step_started(self, step: Step) -> None:
        """A step is about to be computed."""
        self._clock.started()
        if self._task is not None:
            self._progress.update(self._task, description=" ".join(place_words(step.cell).split()))

    def step_finished(self, step: Step, record: Mapping[str, Any], reused: bool) -> None:
        """A step has its record."""
        self._clock.finished(step, reused)
        left = self._clock.left()
        if self._task is not None:
            note = f"{format_seconds(left)} left" if left else ""
            self._progress.update(self._task, advance=1, left=note)
        records = self._cells.add(step, record)
        if records and any(record["status"] != "ok" for record in records):
            line = cell_line(step.cell, records, reused)
            self._console.print(Text(line, style="yellow"))

    def end(self) -> None:
        """No step will follow."""
        self._progress.stop()
