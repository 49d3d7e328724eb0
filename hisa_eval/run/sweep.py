"""A sweep: for every token budget one needle run with all variants and one comparison of their selections.

Both are runs of their own in folders of the sweep, so that each resumes as such runs do. Variants that act
while decoding have nothing to compare: they are asked for needles alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hisa_eval.config.defaults import FIDELITY, NIAH, RESULTS
from hisa_eval.config.fidelity import fidelity_settings
from hisa_eval.config.niah import niah_settings
from hisa_eval.config.sweep import SweepSettings
from hisa_eval.errors import UserError
from hisa_eval.indexers import registry as indexer_registry
from hisa_eval.indexers.configured import InfeasibleBudgetError
from hisa_eval.indexers.wrapped import scored_keys_of, taken_over_from
from hisa_eval.models import registry as model_registry
from hisa_eval.run.canonical import first_difference, value_hash
from hisa_eval.run.execute import Reporter, execute
from hisa_eval.run.fidelity import PlannedFidelity, Tell, execute_fidelity, fidelity_folder, plan_fidelity
from hisa_eval.run.niah import plan_niah
from hisa_eval.run.plan import PlannedRun, run_folder

if TYPE_CHECKING:
    from hisa_eval.indexers.base import Indexer

COMMAND = "sweep"
FILE = "sweep.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Part:
    """What is run for one token budget.

    Attributes:
        topk: Budget k.
        accuracy: The needle run; None where only selections are compared.
        fidelity: The comparison.
    """

    topk: int
    accuracy: PlannedRun | None
    fidelity: PlannedFidelity

    @property
    def labels(self) -> list[str]:
        """All variants, flat DSA first."""
        return self.accuracy.answerer.labels if self.accuracy else self.fidelity.answerer.labels

    @property
    def asked_alone(self) -> list[Indexer]:
        """Variants without a comparison."""
        compared = self.fidelity.answerer.labels
        asked = self.accuracy.answerer.indexers if self.accuracy else ()
        return [one for one in asked if one.label not in compared]


@dataclass(frozen=True)
class PlannedSweep:
    """A checked sweep.

    Attributes:
        settings: As given.
        parts: One a token budget.
        skipped: Variants that cannot fill a budget, with the reason.
        model: Facts of the model that need no weights.
    """

    settings: SweepSettings
    parts: tuple[Part, ...]
    skipped: tuple[tuple[str, str], ...]
    model: Mapping[str, Any]

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """Every setting in the one form that is compared."""
        return {
            "command": COMMAND,
            "parts": [
                {
                    "topk": part.topk,
                    "accuracy": part.accuracy.canonical if part.accuracy else None,
                    "fidelity": part.fidelity.canonical,
                }
                for part in self.parts
            ],
        }


def plan_sweep(settings: SweepSettings) -> PlannedSweep:
    """Check everything that can be checked without weights.

    Raises:
        UserError: names that do not exist, options that do not go together, or no variant is left.
    """
    model = model_registry.describe(settings.model)
    own = int(model["topk"])
    specs = [*indexer_registry.split_list(settings.indexer), *settings.grid()]
    variants = {one.label: one for one in map(indexer_registry.parse, specs)}
    over_steps = [label for label, one in variants.items() if taken_over_from(one) == "steps"]
    if over_steps and not settings.accuracy:
        raise UserError(
            f"--no-accuracy: {over_steps[0]} acts while decoding, and has no selections of a prefill to "
            "compare",
            "drop --no-accuracy, or leave it out of --indexer",
        )
    if settings.inputs and settings.accuracy:
        raise UserError(
            "--inputs are selections of a prefill, which nobody can be asked for needles with",
            "add --no-accuracy",
        )
    parts, skipped = [], []
    for topk in settings.budgets or (settings.topk or own,):
        labels = []
        for label, indexer in variants.items():
            try:
                check = getattr(indexer, "check_budget", None)
                if check is not None:
                    check(topk)
                labels.append(label)
            except InfeasibleBudgetError as error:
                skipped.append((f"{label} at k = {topk}", error.what))
        if not [label for label in labels if label.split(":")[0] != "dsa"]:
            raise UserError(f"no variant can fill k = {topk}", skipped[-1][1] if skipped else "name some")
        labels = ["dsa", *(one for one in labels if one != "dsa")]
        parts.append(_part(settings, topk, labels, over_steps))
    return PlannedSweep(settings, tuple(parts), tuple(skipped), model)


def _part(settings: SweepSettings, topk: int, labels: list[str], over_steps: list[str]) -> Part:
    values = {**settings.model_dump(), "topk": topk, "indexer": ",".join(labels), "probe": False}
    compared = {
        "precisions": "none",
        "indexer": ",".join(label for label in labels if label not in over_steps),
    }
    fidelity = fidelity_settings({name: values[name] for name in FIDELITY if name in values} | compared)
    niah = {name: values[name] for name in NIAH if name in values}
    return Part(topk, plan_niah(niah_settings(niah)) if settings.accuracy else None, plan_fidelity(fidelity))


def costs_of(part: Part, model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the variants without a comparison score at the end of each length; JSON types only.

    Args:
        part: Of a sweep.
        model: Facts of its model: `index_heads` and `layers`.

    Returns:
        `indexer`, `length`, `scored_keys` and `cost`, which is that over flat DSA's; None where not known.
    """
    found = []
    for indexer in part.asked_alone:
        for length in part.fidelity.settings.lengths:
            about = (length, part.topk, model["index_heads"], model["layers"])
            keys, flat = (
                scored_keys_of(one, *about) for one in (indexer, part.fidelity.answerer.indexers[0])
            )
            cost = None if keys is None or flat is None else keys / flat
            found.append({"indexer": indexer.label, "length": length, "scored_keys": keys, "cost": cost})
    return found


def sweep_folder(run: PlannedSweep, out: Path | None) -> Path:
    """Where the sweep lands: named, an unfinished one of the same settings, or a new folder.

    Raises:
        UserError: the named folder holds something else.
    """
    short = value_hash(run.canonical)[:8]
    if out is None:
        for path in sorted(Path(RESULTS).glob(f"{COMMAND}-*-{short}"), reverse=True):
            return path
        return Path(RESULTS) / f"{COMMAND}-{datetime.now():%Y%m%d-%H%M%S}-{short}"
    if out.is_file():
        raise UserError(f"{out} is a file, not a folder", "choose another --out")
    if (out / FILE).is_file():
        known = read_sweep(out)
        found = first_difference(known["settings"], json.loads(json.dumps(run.canonical)))
        if found:
            raise UserError(
                f"{out} holds another sweep: {found.name} is {found.old} there and {found.new} here",
                found.mend("sweep"),
            )
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and no sweep", "choose another --out; nothing was written")
    return out


def read_sweep(folder: Path) -> dict[str, Any]:
    """What a sweep's folder says of it.

    Raises:
        UserError: it holds no sweep.
    """
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{folder} holds no sweep ({FILE} cannot be read)", "give its --out folder") from None
    if not isinstance(found, dict) or found.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{folder} has another format", "use the hisa-eval version that made it")
    return found


def execute_sweep(
    run: PlannedSweep,
    folder: Path,
    reporter: Callable[[PlannedRun], Reporter],
    tell: Tell,
    phase: Callable[[str], None],
    *,
    threads: int | None = None,
) -> int:
    """Carry out what is missing.

    Args:
        run: A checked sweep.
        folder: From `sweep_folder`.
        reporter: Gives who hears of a needle run.
        tell: Hears of compared contexts.
        phase: Hears of every part.
        threads: CPU threads.

    Returns:
        How many results failed now.

    Raises:
        UserError: a folder cannot be written or holds something else.
        KeyboardInterrupt: stopped by the user; everything finished is kept.
    """
    parts = [
        {
            "topk": part.topk,
            "accuracy": f"k{part.topk}/niah" if part.accuracy else None,
            "fidelity": f"k{part.topk}/fidelity",
            "asked_alone": costs_of(part, run.model),
        }
        for part in run.parts
    ]
    content = {
        "format_version": FORMAT_VERSION,
        "settings": run.canonical,
        "parts": parts,
        "skipped": [list(one) for one in run.skipped],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror})", "choose another --out") from error
    failed = 0
    for part, names in zip(run.parts, parts, strict=True):
        phase(f"k = {part.topk}: comparing selections")
        place = fidelity_folder(part.fidelity, folder / str(names["fidelity"]))
        failed += execute_fidelity(part.fidelity, place, tell, threads=threads).n_failed
        if part.accuracy is not None:
            phase(f"k = {part.topk}: asking for needles")
            where = run_folder(part.accuracy, folder / str(names["accuracy"]))
            failed += execute(part.accuracy, where, reporter(part.accuracy), threads=threads).n_failed
    return failed
