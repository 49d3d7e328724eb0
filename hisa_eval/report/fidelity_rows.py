"""A comparison's store in long form: one row per indexer, context, layer and query row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hisa_eval.errors import UserError
from hisa_eval.run.store import MANIFEST, RunStore
from hisa_eval.stats.rows import RowFigure, row_figure

COMMAND = "fidelity"
METRICS = ("iou", "recall", "mass", "attention", "top1")
RUNNING = "iou_running"
"""IoU with the selection of the indexer that ran the model, where that was not flat DSA."""
ANSWERING = (
    "the answering row, which gives the first token of the answer's own text: the prompt's last row, or the "
    "one behind it that reads the space before the answer, where that is a token of its own"
)
LAST = "the prompt's last row, even where it gives no more than a space"
"""Taken for the answering one until version 2."""
QUARTERS = ("first quarter", "second quarter", "third quarter", "last quarter")


@dataclass(frozen=True)
class Compared:
    """What a comparison found.

    Attributes:
        folder: The run's folder.
        manifest: Of the run.
        labels: Indexers in the order of the tables, flat DSA first.
        rows: One row per indexer, context, layer and sampled query row.
        last: The same of each context's last row alone, which answers, with the evidence figures.
        distances: Flat DSA's keys kept and wanted by distance class, per indexer, context and layer.
        ranks: Block ranks of the answers, from flat DSA's records.
        certificates: Rows beyond m·B and how many of them an exact indexer certified, per context and layer.
        failed: Records without a result.
    """

    folder: Path
    manifest: Mapping[str, Any]
    labels: tuple[str, ...]
    rows: pd.DataFrame
    last: pd.DataFrame
    distances: pd.DataFrame
    ranks: pd.DataFrame
    certificates: pd.DataFrame
    failed: tuple[Mapping[str, Any], ...]

    @property
    def inputs(self) -> list[str]:
        """Kinds of inputs, in order of mention."""
        return list(dict.fromkeys(self.rows["inputs"])) if len(self.rows) else []

    @property
    def run_with(self) -> str:
        """The indexer that ran the model; flat DSA in runs that do not say."""
        return str(self.manifest["settings"].get("run_with", "dsa"))

    @property
    def answering(self) -> str:
        """Which row of a prompt the evidence figures are of."""
        return ANSWERING if self.manifest["settings"].get("version", 1) >= 2 else LAST

    @property
    def metrics(self) -> tuple[str, ...]:
        """Shares that the rows hold."""
        return METRICS if self.run_with == "dsa" else (*METRICS, RUNNING)

    @property
    def compared(self) -> list[str]:
        """Indexers other than flat DSA; flat DSA where it is alone."""
        return [label for label in self.labels if label != self.labels[0]] or list(self.labels)


def is_comparison(folder: Path) -> bool:
    """Whether a folder holds a run of `hisa-eval fidelity`."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("command") == COMMAND


def load_compared(folder: Path) -> Compared:
    """Read a comparison.

    Raises:
        UserError: the folder is no run of `hisa-eval fidelity`.
    """
    store = RunStore.read(folder)
    if store.manifest.get("command") != COMMAND:
        raise UserError(f"{folder} is a run of {store.manifest.get('command')}", "see hisa-eval report")
    rows, last, distances, ranks, certificates, failed = [], [], [], [], [], []
    for record in store.records():
        if record["status"] != "ok":
            failed.append(record)
            continue
        found = _Record(record)
        rows += found.rows()
        last += found.last_rows()
        distances += found.distances()
        ranks += found.ranks()
        certificates += found.certificates()
    labels = tuple(str(one["label"]) for one in store.manifest["indexers"])
    frames = [_ordered(pd.DataFrame(part), labels) for part in (rows, last, distances, ranks, certificates)]
    return Compared(
        folder,
        store.manifest,
        labels,
        rows=frames[0],
        last=frames[1],
        distances=frames[2],
        ranks=frames[3],
        certificates=frames[4],
        failed=tuple(failed),
    )


def _ordered(frame: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Indexers sort in the order of the tables."""
    if not len(frame):
        return frame
    return frame.assign(indexer=pd.Categorical(frame["indexer"], categories=list(labels), ordered=True))


@dataclass(frozen=True)
class _Record:
    record: Mapping[str, Any]

    @property
    def _base(self) -> dict[str, Any]:
        record = self.record
        return {
            "inputs": str(record["task"]).partition("/")[2],
            "indexer": record["indexer"],
            "context": record["sample_id"],
            "length": record["length"],
            "depth": record["depth"],
        }

    def _rows(self, layer: Mapping[str, Any], places: Sequence[int]) -> list[dict[str, Any]]:
        details, n = self.record["details"], self.record["n_prompt_tokens"]
        return [
            {
                **self._base,
                "layer": layer["layer"],
                "visible": details["visible"][place],
                "beyond": details["visible"][place] > details["exact_below"],
                "quarter": min(3, 4 * (details["visible"][place] - 1) // max(1, n)),
                **{name: _number(layer[name][place]) for name in (*METRICS, RUNNING) if name in layer},
                **{f"noise_{name}": _number(values[place]) for name, values in layer["noise"].items()},
            }
            for place in places
        ]

    def rows(self) -> list[dict[str, Any]]:
        """Sampled rows: all but the last, which was not drawn, unless it is the only one."""
        n = len(self.record["details"]["visible"])
        places = range(max(1, n - 1))
        return [row for layer in self.record["details"]["layers"] for row in self._rows(layer, places)]

    def last_rows(self) -> list[dict[str, Any]]:
        names = ("evidence", "evidence_of_flat")
        n = len(self.record["details"]["visible"])
        return [
            {**self._rows(layer, [n - 1])[0], **{name: _number(layer[name]) for name in names}}
            for layer in self.record["details"]["layers"]
        ]

    def distances(self) -> list[dict[str, Any]]:
        return [
            {**self._base, "layer": layer["layer"], "distance": start, "kept": kept, "wanted": wanted}
            for layer in self.record["details"]["layers"]
            for start, kept, wanted in zip(
                self.record["details"]["distances"], layer["kept"], layer["wanted"], strict=True
            )
        ]

    def certificates(self) -> list[dict[str, Any]]:
        found = self.record["details"].get("certificates", ())
        return [{**self._base, "layer": layer, **one} for layer, one in enumerate(found)]

    def ranks(self) -> list[dict[str, Any]]:
        return [{**self._base, **one} for one in self.record["details"].get("block_ranks", ())]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def figures(
    rows: pd.DataFrame, by: Sequence[str], metrics: Sequence[str] = METRICS, *, percentile: bool = True
) -> pd.DataFrame:
    """Mean, 5th percentile and minimum of each metric, by groups.

    Args:
        rows: From `Compared`.
        by: Columns that make a group, in their order.
        metrics: Columns of shares.
        percentile: Also the percentile's interval.

    Returns:
        One row per group and metric: `by`, `metric` and the fields of `hisa_eval.stats.rows.RowFigure`.
    """
    found = []
    for key, group in rows.groupby(list(by), sort=True, observed=True) if len(rows) else ():
        names = key if isinstance(key, tuple) else (key,)
        for metric in metrics:
            if metric in group:
                figure = row_figure(group[metric].to_numpy(), list(group["context"]), percentile=percentile)
                if figure.n_rows:
                    found.append({**dict(zip(by, names, strict=True)), "metric": metric, **figure._asdict()})
    return pd.DataFrame(found, columns=[*by, "metric", *RowFigure._fields])


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def scoped(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows twice over: as `all`, and those beyond the exact range once more as `beyond`."""
    if not len(rows):
        return rows.assign(scope=[])
    both = [rows.assign(scope="all"), rows[rows["beyond"]].assign(scope="beyond")]
    return pd.concat(both, ignore_index=True)
