"""How long a sweep will take: needles as a needle run is forecast, comparisons from one that is timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hisa_eval.errors import UserError
from hisa_eval.run.execute import load_model, time_one_sample
from hisa_eval.run.fidelity import PlannedFidelity
from hisa_eval.run.fidelity_compare import compare_on
from hisa_eval.run.fidelity_place import Place
from hisa_eval.run.forecast import SPEEDS, Forecast, prefill_work
from hisa_eval.run.grid import cells_of
from hisa_eval.run.plan import PlannedRun
from hisa_eval.run.questions import TIMED_LENGTH
from hisa_eval.run.sweep import PlannedSweep

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPARED, ASKED = "compared", "asked"


@dataclass(frozen=True)
class SweepLine:
    """What is expected of one length of one part.

    Attributes:
        topk: Token budget k.
        part: `compared` for selections, `asked` for needles.
        length: In tokens.
        indexer: Label of who is asked; empty for a comparison, whose prefill serves all of them.
        samples: Contexts, or needles.
        results: Lines that the store will get.
        tokens: Tokens computed.
        memory_bytes: Forecast of the peak; None where nobody is asked.
        seconds: Expected time.
    """

    topk: int
    part: str
    length: int
    indexer: str
    samples: int
    results: int
    tokens: float
    memory_bytes: int | None
    seconds: float


@dataclass(frozen=True)
class TimedContext:
    """One comparison on this machine.

    Attributes:
        length: Of its context, in tokens.
        prefill: Seconds to get the inputs of every layer with flat DSA's selection.
        comparing: Seconds of all indexers on them.
    """

    length: int
    prefill: float
    comparing: float


@dataclass(frozen=True)
class SweepForecast:
    """Expected cost of a sweep.

    Attributes:
        lines: In running order.
        cells: Squares of the needle runs: length, depth and indexer.
        context: What the comparisons' times follow from.
        sample: Length, indexer and seconds that the needles' times follow from; None where none is asked for.
    """

    lines: tuple[SweepLine, ...]
    cells: int
    context: TimedContext
    sample: tuple[int, str, float] | None


def forecast_sweep(run: PlannedSweep) -> SweepForecast:
    """Load the model, time one short context and one short needle, and count.

    Raises:
        UserError: the model cannot be loaded, or the short context cannot be compared on.
    """
    context = _time_one_context(run.parts[0].fidelity)
    asked = run.parts[0].accuracy
    model = None if asked is None else load_model(asked)
    sample = None if asked is None or model is None else time_one_sample(asked, model)
    lines: list[SweepLine] = []
    for part in run.parts:
        lines += _compared(part.topk, part.fidelity, context)
        if part.accuracy is None or model is None or sample is None:
            continue
        by_label = {one.label: one for one in part.accuracy.answerer.indexers}
        for line in _asked(part.accuracy, sample).lines():
            needed = model.memory_bytes(line.length, by_label[line.indexer])
            lines.append(
                SweepLine(
                    part.topk,
                    ASKED,
                    line.length,
                    line.indexer,
                    line.n_samples,
                    line.n_samples,
                    line.tokens,
                    needed,
                    line.seconds,
                )
            )
    cells = sum(len(cells_of(part.accuracy.layout)) for part in run.parts if part.accuracy is not None)
    return SweepForecast(tuple(lines), cells, context, sample)


def _asked(run: PlannedRun, sample: tuple[int, str, float]) -> Forecast:
    who = run.answerer
    forecast = Forecast(run.layout, who.indexers, who.topk, who.device)
    forecast.measured(*sample)
    return forecast


def _compared(topk: int, run: PlannedFidelity, timed: TimedContext) -> Iterator[SweepLine]:
    """A line for every length; the inputs of a context are made once for all indexers."""
    speed = SPEEDS[run.answerer.device]
    unit = speed.seconds(prefill_work(timed.length, "dsa", {}, topk))
    n_indexers = len(run.answerer.indexers)
    counts: dict[int, int] = {}
    for place in run.source.places:
        counts[place.length] = counts.get(place.length, 0) + 1
    for length, n in counts.items():
        prefill = timed.prefill * speed.seconds(prefill_work(length, "dsa", {}, topk)) / unit
        # Rows are as many at every length; each is scored against all it sees.
        comparing = timed.comparing * length / timed.length
        yield SweepLine(
            topk, COMPARED, length, "", n, n * n_indexers, float(n * length), None, n * (prefill + comparing)
        )


def _time_one_context(run: PlannedFidelity) -> TimedContext:
    """The second of two contexts; the first warms up."""
    run.source.open()
    prefill, comparing = 0.0, 0.0
    length, places = _short_places(run)
    for place in places:
        records = compare_on(run, place, list(run.answerer.indexers))
        for record in records:
            if record["status"] == "failed":
                raise UserError(
                    f"{record['indexer']} cannot be timed: {record['reason']}", "leave it out of --indexer"
                )
        prefill = float(records[0]["seconds"]["prefill"])
        comparing = sum(float(record["seconds"]["decode"]) for record in records)
    return TimedContext(length, prefill, comparing)


def _short_places(run: PlannedFidelity) -> tuple[int, list[Place]]:
    """Two contexts that are soon compared on, and their length; recorded ones are as long as they are."""
    shortest = run.source.places[0]
    if run.settings.inputs:
        return shortest.length, [shortest, shortest]
    length = min(TIMED_LENGTH, shortest.length)
    try:
        run.source.facts(Place(shortest.task, length, 100.0, 0))
    except ValueError:
        length = shortest.length
    return length, [Place(shortest.task, length, 100.0, index) for index in range(2)]
