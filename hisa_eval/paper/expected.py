"""How long the parts will take here: operations counted, scaled by one timed sample of this machine."""

from __future__ import annotations

from hisa_eval.paper.parts import Plan
from hisa_eval.run.execute import load_model, time_one_sample
from hisa_eval.run.fidelity import PlannedFidelity
from hisa_eval.run.forecast import SPEEDS, Forecast, prefill_work
from hisa_eval.run.plan import PlannedRun

LATENCY = 40.0
"""Seconds of the latency part: its operators do not scale with the model's, and it is short."""


def expected_seconds(plan: Plan) -> dict[str, float]:
    """Seconds by part, in running order; what is finished already is not taken off."""
    needles, mini = _forecast(plan.niah), _forecast(plan.longbench)
    needles.measured(*time_one_sample(plan.niah, load_model(plan.niah)))
    mini.scale = needles.scale
    sweep = sum(_comparison(part.fidelity, needles.scale) for part in plan.sweep.parts)
    for part in plan.sweep.parts:
        if part.accuracy is not None:
            asked = _forecast(part.accuracy)
            asked.scale = needles.scale
            sweep += _total(asked)
    return {
        "latency": LATENCY,
        "attention": _comparison(plan.attention, needles.scale),
        "fidelity": _comparison(plan.fidelity, needles.scale),
        "sweep": sweep,
        "niah": _total(needles),
        "longbench": _total(mini),
    }


def _forecast(run: PlannedRun) -> Forecast:
    return Forecast(run.layout, run.answerer.indexers, run.answerer.topk, run.answerer.device)


def _total(forecast: Forecast) -> float:
    return sum(line.seconds for line in forecast.lines())


def _comparison(run: PlannedFidelity, scale: float) -> float:
    """A prefill with flat DSA for each context; comparing few rows costs little beside it."""
    speed = SPEEDS[run.answerer.device]
    lengths = [place.length for place in run.source.places]
    return scale * sum(speed.seconds(prefill_work(one, "dsa", {}, run.answerer.topk)) for one in lengths)
