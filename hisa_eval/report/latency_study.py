"""What a latency measurement's folder holds: records by batch, and the best flat method to compare with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hisa_eval.errors import UserError

FORMAT_VERSION = 1


def role(record: dict[str, Any]) -> str:
    """`"flat"`, `"hisa"` or `"attention"`, whatever the kind of case."""
    return str(record["family"]).rpartition(" ")[2]


@dataclass(frozen=True)
class Batch:
    """All measurements of one shape of a batch on one kind of inputs, contexts and budgets differing.

    Attributes:
        name: For files.
        title: For people.
        records: In the order of the measurement.
    """

    name: str
    title: str
    records: tuple[dict[str, Any], ...]

    @property
    def contexts(self) -> list[int]:
        """Context lengths, ascending."""
        return sorted({record["case"]["context"] for record in self.records})

    @property
    def modes(self) -> list[str]:
        """Budgets of blocks: the fixed one first."""
        found = {record["case"]["mode"] for record in self.records if role(record) == "hisa"}
        return sorted(found, key=lambda mode: (":" in mode, mode))

    def find(self, method: str, mode: str, context: int) -> dict[str, Any] | None:
        """One measurement; flat methods have no budget of their own."""
        for record in self.records:
            case = record["case"]
            if record["method"] == method and case["context"] == context and case["mode"] in (mode, "flat"):
                return record
        return None

    def methods(self, family: str) -> list[str]:
        """Names of those in a role, in the order of the measurement."""
        return list(dict.fromkeys(r["method"] for r in self.records if role(r) == family))

    def best_flat(self, context: int) -> dict[str, Any] | None:
        """The fastest flat method of a context: what every speed-up is measured against."""
        found = [self.find(method, "flat", context) for method in self.methods("flat")]
        timed = [record for record in found if record is not None and record["status"] == "ok"]
        return min(timed, key=lambda record: float(record["total"]["ms"]), default=None)


@dataclass(frozen=True)
class Measured:
    """What a folder holds.

    Attributes:
        folder: Where.
        manifest: On what and how it was measured.
        records: Every outcome.
    """

    folder: Path
    manifest: dict[str, Any]
    records: list[dict[str, Any]]

    @property
    def on_cpu(self) -> bool:
        """Whether no GPU took part."""
        return (self.manifest.get("device") or {}).get("type") == "cpu"

    def attention(self, batch: Batch) -> float | None:
        """Milliseconds of the fastest sparse attention over as many queries as a batch has, if measured."""
        queries = batch.records[0]["case"]["queries"]
        found = [
            float(record["total"]["ms"])
            for record in self.records
            if record["family"] == "attention"
            and record["status"] == "ok"
            and record["case"]["queries"] == queries
        ]
        return min(found, default=None)

    def batches(self) -> list[Batch]:
        """Records by shape and inputs."""
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for record in self.records:
            case = record["case"]
            key = tuple(case[name] for name in ("queries", "heads", "dim", "dtype", "topk", "inputs", "kind"))
            groups.setdefault(key, []).append(record)
        found = []
        for (queries, heads, dim, dtype, topk, inputs, kind), own in groups.items():
            name = f"m{queries}-h{heads}-d{dim}-{dtype}-{inputs}"
            if kind != "selection":
                name += f"-{kind}"
            who = "queries at the end of the context"
            if kind == "decode":
                who = "sequences that decode, one query each"
            title = f"{queries:,} {who}, H = {heads}, D = {dim}, {dtype.upper()}, k = {topk}, {inputs} inputs"
            found.append(Batch(name, title, tuple(own)))
        return found


def load_latency(folder: Path) -> Measured:
    """Read what `hisa-eval latency` or `kernels/benchmarks` left.

    Raises:
        UserError: the folder holds no finished measurement.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        records = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except OSError as error:
        missing = Path(error.filename or folder).name
        raise UserError(
            f"{folder} holds no finished measurement ({missing} cannot be read)",
            "give a folder of hisa-eval latency or kernels/benchmarks",
        ) from None
    except ValueError as error:
        raise UserError(f"{folder} is damaged: {error}", "measure again") from None
    if not isinstance(records, list) or manifest.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{folder} has another format", "use the hisa-eval version that made it")
    return Measured(folder, manifest, records)


def speedup(batch: Batch, record: dict[str, Any]) -> float | None:
    """How many times faster than the best flat method of the same context; None where neither was timed."""
    best = batch.best_flat(record["case"]["context"])
    if best is None or record["status"] != "ok":
        return None
    return float(best["total"]["ms"] / record["total"]["ms"])
