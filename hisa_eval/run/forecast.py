"""How long a run will take: operations counted from the algorithm, times constants, scaled to the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hisa_eval.run.grid import Layout, Step

if TYPE_CHECKING:
    from hisa_eval.indexers.base import Indexer


@dataclass(frozen=True)
class Work:
    """Operations of a prefill over some rows, summed over the rows of one layer.

    Attributes:
        tokens: Rows computed.
        flat: Key scores of a scan over all visible tokens or pooled blocks.
        candidates: Key scores of tokens gathered from chosen blocks.
        attended: Keys attended to.
    """

    tokens: float
    flat: float
    candidates: float
    attended: float

    def __sub__(self, other: Work) -> Work:
        """The rows of this prefill that the other lacks."""
        return Work(
            self.tokens - other.tokens,
            self.flat - other.flat,
            self.candidates - other.candidates,
            self.attended - other.attended,
        )


@dataclass(frozen=True)
class Speed:
    """Seconds per operation of `Work`, and per sample, of the embedded model on one kind of machine.

    Attributes:
        sample: Seconds that every sample costs, its decoding included.
        token: Seconds per token computed.
        flat: Seconds per score of a flat or block scan.
        candidate: Seconds per score of a gathered token.
        attended: Seconds per key attended to.
    """

    sample: float
    token: float
    flat: float
    candidate: float
    attended: float

    def seconds(self, work: Work) -> float:
        """Expected seconds of one sample."""
        return (
            self.sample
            + self.token * work.tokens
            + self.flat * work.flat
            + self.candidate * work.candidates
            + self.attended * work.attended
        )


SPEEDS: Mapping[str, Speed] = {
    "cpu": Speed(sample=0.3, token=6e-5, flat=6e-9, candidate=1e-8, attended=2e-7),
    "cuda": Speed(sample=0.1, token=1e-6, flat=1e-11, candidate=5e-11, attended=1e-9),
}
"""Of the embedded model by device; `Forecast.measured` scales them to the machine at hand."""


def capped(rows: float, cap: float) -> float:
    """Sum of min(t, cap) over the rows t = 1..rows."""
    full = min(rows, cap)
    return full * full / 2 + max(0.0, rows - cap) * cap


def prefill_work(rows: float, indexer: str, settings: Mapping[str, Any], topk: int) -> Work:
    """Operations to compute the first `rows` rows of a context.

    Args:
        rows: Tokens from the start.
        indexer: Name of the indexer; one that is not known here counts as a flat scan.
        settings: Its options.
        topk: Token budget k.
    """
    everything = capped(rows, rows)
    if indexer not in ("hisa", "block-sparse"):
        return Work(rows, everything, 0.0, capped(rows, topk))
    size = float(settings["block_size"])
    blocks, ratio = settings.get("num_blocks"), settings.get("ratio")
    held = float(topk) if blocks is None else blocks * size
    if ratio is not None:
        held = max(float(topk), rows / ratio)
    if indexer == "block-sparse":
        return Work(rows, everything / size, 0.0, capped(rows, held))
    return Work(rows, everything / size, capped(rows, held), capped(rows, topk))


def step_work(layout: Layout, step: Step, indexer: str, settings: Mapping[str, Any], topk: int) -> Work:
    """Operations of one step; the prefix that it shares with the step before is not computed again."""
    length = layout.expected_tokens(step)
    kept = length * (1.0 - layout.computed_fraction(step))
    return prefill_work(length, indexer, settings, topk) - prefill_work(kept, indexer, settings, topk)


@dataclass(frozen=True)
class Line:
    """What is expected of one length, or of one task where samples have their own, with one indexer.

    Attributes:
        length: In tokens, the longest of the samples.
        indexer: Label.
        task: Name where samples have their own length, else empty.
        n_samples: Samples of all depths and tasks.
        tokens: Tokens computed, shared prefixes once.
        seconds: Expected time.
    """

    length: int
    indexer: str
    task: str
    n_samples: int
    tokens: float
    seconds: float


class Forecast:
    """Expected cost of a run.

    Args:
        layout: What will run.
        indexers: All that the layout's steps name; only names and settings are read.
        topk: Token budget k.
        device: `cpu` or `cuda`.
    """

    def __init__(self, layout: Layout, indexers: Sequence[Indexer], topk: int, device: str) -> None:
        self.layout = layout
        self.scale = 1.0
        self._speed = SPEEDS.get(device, SPEEDS["cuda"])
        self._topk = topk
        self._indexers = {one.label: (one.name, dict(one.settings)) for one in indexers}

    def work(self, step: Step) -> Work:
        """Operations of one step."""
        name, settings = self._indexers[step.indexer]
        return step_work(self.layout, step, name, settings, self._topk)

    def seconds(self, step: Step) -> float:
        """Expected seconds of one step."""
        return self.scale * self._speed.seconds(self.work(step))

    def measured(self, length: int, indexer: str, seconds: float) -> None:
        """Scale the forecast to a machine on which one whole prompt took `seconds`.

        Args:
            length: Its tokens.
            indexer: Label of the indexer that it ran with.
            seconds: Wall time, decoding included.
        """
        name, settings = self._indexers[indexer]
        self.scale = seconds / self._speed.seconds(prefill_work(length, name, settings, self._topk))

    def lines(self) -> list[Line]:
        """One line per length (or task) and indexer, in running order."""
        found: dict[tuple[int | None, str, str], Line] = {}
        for step in self.layout.steps():
            task = step.task if step.length is None else ""
            place = (step.length, task, step.indexer)
            work = self.work(step)
            old = found.get(place, Line(0, step.indexer, task, 0, 0.0, 0.0))
            found[place] = Line(
                max(old.length, round(self.layout.expected_tokens(step))),
                step.indexer,
                task,
                old.n_samples + 1,
                old.tokens + work.tokens,
                old.seconds + self.scale * self._speed.seconds(work),
            )
        return list(found.values())
