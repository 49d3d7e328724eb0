"""What an end-to-end measurement's store holds: a `Timed` per contestant and length, judged by its tokens."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from hisa_eval.errors import UserError
from hisa_eval.run.store import MANIFEST, RunStore

COMMAND = "end-to-end"
STOCK = "transformers"
FIGURES: Mapping[str, str] = {
    "first": "first token",
    "each": "each token",
    "answer": "whole answer",
}
"""What is timed: name in files -> name for people."""


@dataclass(frozen=True)
class Timed:
    """One contestant at one length.

    Attributes:
        label: Who.
        length: In tokens, the answer in it.
        status: `ok`; `red` where its tokens are not flat DSA's though they have to be; `unchecked` where
            they have to be and flat DSA gave none; `failed`; `missing` where nothing was measured yet.
        reason: Why it is not ok.
        held: Whether its tokens have to be flat DSA's.
        same: Tokens equal to flat DSA's up to the first that differs, in the worst repetition; None where
            either gave none.
        n_new: Tokens generated.
        n_prompt: Tokens of the prompt.
        seconds: By name of `FIGURES` and repetition.
        peak_bytes: Most memory; None where it is not known.
        decoding: How tokens after the first were generated.
    """

    label: str
    length: int
    status: str
    reason: str
    held: bool
    same: int | None
    n_new: int
    n_prompt: int
    seconds: Mapping[str, Mapping[int, float]]
    peak_bytes: int | None
    decoding: str

    @property
    def timed(self) -> bool:
        """Whether its times may be shown."""
        return self.status in ("ok", "unchecked")

    def median(self, figure: str) -> float:
        """Seconds, NaN where there are none to be shown."""
        return median(self.seconds[figure].values()) if self.timed else math.nan

    def spread(self, figure: str) -> tuple[float, float]:
        """Least and most seconds."""
        if not self.timed:
            return math.nan, math.nan
        values = self.seconds[figure].values()
        return min(values), max(values)

    @property
    def throughput(self) -> float:
        """Tokens read and written a second, median."""
        return (self.n_prompt + self.n_new) / self.median("answer")


@dataclass(frozen=True)
class EndToEnd:
    """A measurement.

    Attributes:
        folder: Where.
        manifest: On what and how it was measured.
        labels: Contestants in the order of the tables, flat DSA first.
        lengths: In tokens, ascending.
        cells: By label and length.
    """

    folder: Path
    manifest: Mapping[str, Any]
    labels: tuple[str, ...]
    lengths: tuple[int, ...]
    cells: Mapping[tuple[str, int], Timed]

    @property
    def flat(self) -> str:
        """Label of flat DSA."""
        return self.labels[0]

    @property
    def wrong(self) -> list[Timed]:
        """What has no times to show, though it was measured."""
        return [one for one in self.cells.values() if one.status in ("red", "failed")]

    @property
    def on_cpu(self) -> bool:
        """Whether no GPU took part."""
        return (self.manifest.get("device") or {}).get("type") == "cpu"

    def ratio(self, label: str, length: int, figure: str) -> tuple[float, float, float] | None:
        """How many times faster than flat DSA: median, least and most over the repetitions that both have."""
        own, flat = self.cells[label, length], self.cells[self.flat, length]
        if not (own.timed and flat.timed):
            return None
        both = own.seconds[figure].keys() & flat.seconds[figure].keys()
        found = [flat.seconds[figure][number] / own.seconds[figure][number] for number in sorted(both)]
        return (median(found), min(found), max(found)) if found else None


def is_end_to_end(folder: Path) -> bool:
    """Whether a folder holds an end-to-end measurement."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("command") == COMMAND


def load_end_to_end(folder: Path) -> EndToEnd:
    """Read a measurement and hold its tokens against flat DSA's.

    Raises:
        UserError: the folder holds none.
    """
    store = RunStore.read(folder)
    if store.manifest.get("command") != COMMAND:
        raise UserError(f"{folder} is a run of {store.manifest.get('command')}", "see hisa-eval report")
    settings = store.manifest["settings"]
    labels = [str(label) for label in settings["indexer"]] + ([STOCK] if settings["stock"] else [])
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for record in store.records():
        groups.setdefault((record["indexer"], int(record["length"])), []).append(record)
    cells = {}
    for length in settings["lengths"]:
        flat = _answer(groups.get((labels[0], length), ()))
        for label in labels:
            cells[label, length] = _timed(label, length, groups.get((label, length), ()), flat)
    return EndToEnd(folder, store.manifest, tuple(labels), tuple(settings["lengths"]), cells)


def _answer(records: Sequence[Mapping[str, Any]]) -> list[int] | None:
    """The tokens of a first repetition."""
    for record in sorted(records, key=lambda one: int(one["sample"])):
        if record["status"] == "ok":
            return [int(one) for one in record["details"]["ids"]]
    return None


def _timed(label: str, length: int, records: Sequence[Mapping[str, Any]], flat: list[int] | None) -> Timed:
    done = [record for record in records if record["status"] == "ok"]
    if not done:
        reason = str(records[0]["reason"]) if records else "not measured yet"
        status = "failed" if records else "missing"
        return Timed(label, length, status, reason, False, None, 0, 0, {}, None, "")
    first = done[0]
    exact = first["details"]["exact_below"]
    held = exact is not None and int(first["n_total_tokens"]) <= int(exact)
    n_new = int(first["n_generated"])
    same = None if flat is None else min(_agreeing(record["details"]["ids"], flat) for record in done)
    status, reason = "ok", ""
    if held and same is None:
        status, reason = "unchecked", "flat DSA gave no tokens to hold it against"
    elif held and same is not None and same < n_new:
        status = "red"
        reason = f"token {same + 1} of {n_new} is not flat DSA's, though all visible keys are candidates"
    seconds: dict[str, dict[int, float]] = {name: {} for name in FIGURES}
    for record in done:
        number, spent = int(record["sample"]), record["seconds"]
        seconds["first"][number] = spent["prefill"]
        seconds["each"][number] = spent["decode"] / (n_new - 1)
        seconds["answer"][number] = spent["prefill"] + spent["decode"]
    peaks = [record["details"]["peak_bytes"] for record in done]
    known = [int(one) for one in peaks if one is not None]
    return Timed(
        label,
        length,
        status,
        reason,
        held,
        same,
        n_new,
        int(first["n_prompt_tokens"]),
        seconds,
        max(known, default=None),
        str(first["details"]["decoding"]),
    )


def _agreeing(ids: Sequence[int], flat: Sequence[int]) -> int:
    for place, (own, other) in enumerate(zip(ids, flat, strict=False)):
        if own != other:
            return place
    return min(len(ids), len(flat))
