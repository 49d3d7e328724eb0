"""Times of a pipeline, stage by stage, and its peak memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch

from hisa_kernels.measure.pipeline import Stage, run_pass

METHOD = (
    "Device events before and after every stage of one pass; median, 10th and 90th percentile over passes. "
    "Two passes warm up. Before every pass 256 MB are written, more than the L2 holds, so inputs come from "
    "device memory, and the device is kept busy until the host has queued the whole pass, so that launches "
    "cost nothing between stages; decoding's total is the replay of a CUDA graph of the pass. Peak memory is "
    "what a pass allocates beyond its inputs. "
    "On a CPU: wall time of the same stages."
)

FLUSH_BYTES = 256 << 20
MOST_PASSES = 60
LEAST_PASSES = 7


@dataclass(frozen=True)
class Spread:
    """Milliseconds over passes."""

    ms: float
    p10: float
    p90: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """Median and percentiles."""
        ranked = sorted(values)
        last = len(ranked) - 1
        return Spread(median(ranked), ranked[round(0.1 * last)], ranked[round(0.9 * last)])

    def facts(self) -> dict[str, float]:
        """As JSON types."""
        return {"ms": self.ms, "p10": self.p10, "p90": self.p90}


@dataclass(frozen=True)
class Timing:
    """What the clock saw.

    Attributes:
        stages: Name and spread of each stage, in order.
        total: Of whole passes.
        passes: How many.
        host_ms: Time the host needs to queue a pass.
        peak_bytes: Most device memory beyond the inputs during a pass; None on a CPU.
        graph: `"replayed"` where the total is that of a CUDA graph, why not where it was asked for in vain.
    """

    stages: list[tuple[str, Spread]]
    total: Spread
    passes: int
    host_ms: float
    peak_bytes: int | None
    graph: str | None = None

    def facts(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "stages": [{"name": name, **spread.facts()} for name, spread in self.stages],
            "total": {**self.total.facts(), "passes": self.passes},
            "host_ms": self.host_ms,
            "peak_bytes": self.peak_bytes,
            **({"graph": self.graph} if self.graph else {}),
        }


def time_stages(
    stages: Sequence[Stage], device: str, budget_ms: float = 200.0, *, graph: bool = False
) -> Timing:
    """Time a pipeline.

    Args:
        stages: Its stages.
        device: `"cuda"` or `"cpu"`.
        budget_ms: Time to spend on timed passes, kept between `LEAST_PASSES` and `MOST_PASSES` of them.
        graph: Capture a pass in a CUDA graph and take the total from its replays.
    """
    if device != "cuda":
        return _time_on_host(stages, budget_ms)
    run_pass(stages)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run_pass(stages)
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before
    began = time.perf_counter()
    run_pass(stages)
    host = (time.perf_counter() - began) * 1e3
    torch.cuda.synchronize()
    whole = (time.perf_counter() - began) * 1e3
    passes = int(min(max(budget_ms / max(whole, 1e-3), LEAST_PASSES), MOST_PASSES))
    flush = torch.empty(FLUSH_BYTES, dtype=torch.int8, device="cuda")
    hold = int(min(host, 20.0) * 1.5 * 2e6) + 200_000
    marks = [[torch.cuda.Event(enable_timing=True) for _ in range(len(stages) + 1)] for _ in range(passes)]
    for own in marks:
        flush.zero_()
        torch.cuda._sleep(hold)
        _marked_pass(stages, own)
    torch.cuda.synchronize()
    by_stage = [
        (stage.name, Spread.of([own[place].elapsed_time(own[place + 1]) for own in marks]))
        for place, stage in enumerate(stages)
    ]
    total = Spread.of([own[0].elapsed_time(own[-1]) for own in marks])
    if not graph:
        return Timing(by_stage, total, passes, host, peak)
    try:
        return Timing(by_stage, _replayed(stages, passes, flush), passes, host, peak, "replayed")
    except RuntimeError as error:
        why = " ".join(str(error).split())[:160]
        return Timing(by_stage, total, passes, host, peak, f"not captured: {why}")


def _replayed(stages: Sequence[Stage], passes: int, flush: torch.Tensor) -> Spread:
    """Replays of a pass that was captured as a whole."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run_pass(stages)
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        state = run_pass(stages)
    marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(passes)]
    for first, last in marks:
        flush.zero_()
        torch.cuda._sleep(400_000)
        first.record()
        captured.replay()
        last.record()
    torch.cuda.synchronize()
    del state
    return Spread.of([first.elapsed_time(last) for first, last in marks])


def _marked_pass(stages: Sequence[Stage], marks: Sequence[torch.cuda.Event]) -> None:
    state = SimpleNamespace()
    marks[0].record()
    for stage, mark in zip(stages, marks[1:], strict=True):
        stage.run(state)
        mark.record()


def _time_on_host(stages: Sequence[Stage], budget_ms: float) -> Timing:
    began = time.perf_counter()
    run_pass(stages)
    once = (time.perf_counter() - began) * 1e3
    passes = int(min(max(budget_ms / max(once, 1e-3), 3), MOST_PASSES))
    taken: list[list[float]] = []
    for _ in range(passes):
        state = SimpleNamespace()
        own = [time.perf_counter()]
        for stage in stages:
            stage.run(state)
            own.append(time.perf_counter())
        taken.append(own)
    by_stage = [
        (stage.name, Spread.of([(own[place + 1] - own[place]) * 1e3 for own in taken]))
        for place, stage in enumerate(stages)
    ]
    total = Spread.of([(own[-1] - own[0]) * 1e3 for own in taken])
    return Timing(by_stage, total, passes, 0.0, None)
