"""One or several runs as data frames: the only thing that tables and figures see."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hisa_eval.errors import UserError
from hisa_eval.run.store import RunStore

_FACTS = (
    "task",
    "sample_id",
    "length",
    "depth",
    "sample",
    "needle",
    "haystack",
    "prompt_sha256",
    "prompt_tail",
    "evidence_at",
    "n_total_tokens",
    "prediction",
    "score",
    "status",
    "reason",
    "finish_reason",
    "n_generated",
    "n_reused_tokens",
)
_TIMES = ("prefill", "decode", "build")


@dataclass(frozen=True)
class Run:
    """One store, read."""

    path: Path
    manifest: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]

    @property
    def model(self) -> str:
        """Name of the model that was asked."""
        facts = self.manifest.get("model") or {}
        return str(facts.get("name") or self.manifest["settings"].get("model") or "model")


@dataclass(frozen=True)
class Series:
    """One indexer of one run: a column of tables, a colour of figures.

    Attributes:
        label: Shown name, unique within the study.
        indexer: The indexer's own label.
        run: Position of its run.
        baseline: Label of flat DSA in the same run; None where it did not run, or is this series.
    """

    label: str
    indexer: str
    run: int
    baseline: str | None


@dataclass(frozen=True)
class Study:
    """What a report is about.

    Attributes:
        runs: The runs read.
        series: In the order of columns and colours.
        samples: One row per sample, failed ones included; `series` holds the label.
        layers: One row per scored sample and probed layer, fields as in `run.record.LayerFigures`.
    """

    runs: tuple[Run, ...]
    series: tuple[Series, ...]
    samples: pd.DataFrame
    layers: tuple[Mapping[str, Any], ...]

    @property
    def labels(self) -> list[str]:
        """Labels of all series."""
        return [one.label for one in self.series]

    @property
    def suites(self) -> list[str]:
        """First parts of the tasks' names, e.g. `niah` or `ruler`."""
        return sorted({str(task).partition("/")[0] for task in self.samples["task"].dropna()})

    @property
    def lengths(self) -> list[int]:
        """Lengths asked for, also those that no sample has reached yet."""
        return [int(length) for length in self._axis("length", "lengths")]

    @property
    def depths(self) -> list[float]:
        """Depths in percent, also those that no sample has reached yet."""
        return [float(depth) for depth in self._axis("depth", "depths")]

    @property
    def n_planned(self) -> int:
        """Samples of all runs' whole grids; 0 where the settings do not tell."""
        total = 0
        for run in self.runs:
            settings = run.manifest["settings"]
            if isinstance(settings.get("n_planned"), int):
                total += settings["n_planned"]
                continue
            axes = [settings.get(name) for name in ("lengths", "depths")]
            counts = [len(axis) if isinstance(axis, list) else 0 for axis in axes]
            samples = settings.get("samples")
            counts.append(samples if isinstance(samples, int) else 0)
            total += math.prod([len(run.manifest.get("indexers") or ()), *counts])
        return total

    def tokens(self, length: int) -> tuple[int, int] | None:
        """Fewest and most tokens really sent (answer room included) where `length` was asked for."""
        sent = self.samples.loc[self.samples["length"] == length, "n_total_tokens"].dropna()
        sent = sent[sent > 0]
        return (int(sent.min()), int(sent.max())) if len(sent) else None

    def _axis(self, column: str, setting: str) -> list[float]:
        values = set(self.samples[column].dropna())
        for run in self.runs:
            planned = run.manifest["settings"].get(setting)
            if isinstance(planned, list):
                values |= {value for value in planned if isinstance(value, int | float)}
        return sorted(values)


def load_study(paths: Sequence[Path]) -> Study:
    """Read runs from their folders.

    Args:
        paths: Folders of runs, at least one.

    Raises:
        UserError: a folder is not a run, or holds two results for one sample.
    """
    stores = [RunStore.read(path) for path in paths]
    runs = tuple(Run(store.path, store.manifest, tuple(store.records())) for store in stores)
    series = _series(runs)
    by_run = {(one.run, one.indexer): one.label for one in series}
    samples: list[dict[str, Any]] = []
    layers: list[dict[str, Any]] = []
    for number, run in enumerate(runs):
        for record in run.records:
            label = by_run[number, record["indexer"]]
            samples.append(_sample_row(record, label))
            layers.extend(_layer_rows(record, label))
    places = {one.label: place for place, one in enumerate(series)}
    samples.sort(key=lambda row: places[row["series"]])
    frame = _without_superseded(pd.DataFrame(samples, columns=[*_sample_row({}, "")]))
    twice = frame[frame.duplicated(["series", "sample_id"])]
    if len(twice):
        first = twice.iloc[0]
        raise UserError(
            f"two results for sample {first['sample_id']!r} of {first['series']}",
            "the folder mixes two runs: run again into a new --out",
        )
    for column in ("length", "depth", "score", "n_total_tokens", *(f"{name}_seconds" for name in _TIMES)):
        frame[column] = pd.to_numeric(frame[column])
    return Study(runs, series, frame, tuple(layers))


def _series(runs: Sequence[Run]) -> tuple[Series, ...]:
    names = _run_names(runs)
    wanted: list[tuple[int, str]] = []
    for number, run in enumerate(runs):
        planned = [str(one["label"]) for one in run.manifest.get("indexers") or ()]
        seen = sorted({str(record["indexer"]) for record in run.records} - set(planned))
        wanted += [(number, label) for label in [*planned, *seen]]
    shared = Counter(label for _, label in wanted)
    shown = {
        (number, label): label if shared[label] == 1 else f"{label} · {names[number]}"
        for number, label in wanted
    }
    found = []
    for number, label in wanted:
        flat = [other for run, other in wanted if run == number and other.split(":")[0] == "dsa"]
        baseline = shown[number, flat[0]] if flat and flat[0] != label else None
        found.append(Series(shown[number, label], label, number, baseline))
    return tuple(found)


def _without_superseded(samples: pd.DataFrame) -> pd.DataFrame:
    """Drop failures of places that have a score by now, though under another key.

    A sample that could not be built has no prompt in its key, so its later success does not replace it; and
    where each sample has its own length, it has none.
    """
    place = ["series", "task", "length", "depth", "sample"]
    ok = samples["status"] == "ok"
    scored = pd.MultiIndex.from_frame(samples.loc[ok, place])
    stale = ~ok & pd.MultiIndex.from_frame(samples[place]).isin(scored)
    named = ["series", "sample_id"]
    stale |= ~ok & pd.MultiIndex.from_frame(samples[named]).isin(
        pd.MultiIndex.from_frame(samples.loc[ok, named])
    )
    return samples[~stale].reset_index(drop=True)


def _run_names(runs: Sequence[Run]) -> list[str]:
    """Short names that tell the runs apart: by model, by folder, or numbered."""
    for names in ([run.model for run in runs], [run.path.resolve().name for run in runs]):
        if len(set(names)) == len(names):
            return names
    return [f"run {number}" for number in range(1, len(runs) + 1)]


def _sample_row(record: Mapping[str, Any], label: str) -> dict[str, Any]:
    times = record.get("seconds") or {}
    references = record.get("references") or ()
    return {
        "series": label,
        **{name: record.get(name) for name in _FACTS},
        "details": record.get("details") or {},
        "expected": " | ".join(str(one) for one in references),
        **{f"{name}_seconds": times.get(name) for name in _TIMES},
    }


def _layer_rows(record: Mapping[str, Any], label: str) -> list[dict[str, Any]]:
    if record.get("status") != "ok":
        return []
    return [
        {
            "series": label,
            "sample_id": record["sample_id"],
            "length": record["length"],
            "score": record["score"],
            "layer": one["layer"],
            "all": one.get("all") or {},
            "beyond": one.get("beyond") or {},
            "iou_values": one.get("iou_values") or [],
            "last_row": one.get("last_row") or {},
            "evidence": one.get("evidence"),
        }
        for one in (record.get("selection") or {}).get("layers", ())
    ]
