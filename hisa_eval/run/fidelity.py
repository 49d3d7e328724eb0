"""A comparison of selections: one indexer runs the model, all select from the very same inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hisa_eval.config.defaults import RESULTS
from hisa_eval.config.fidelity import FidelitySettings
from hisa_eval.errors import UserError
from hisa_eval.indexers import registry as indexer_registry
from hisa_eval.indexers.wrapped import taken_over_from
from hisa_eval.run.canonical import sample_key
from hisa_eval.run.device import device_facts, set_threads
from hisa_eval.run.fidelity_compare import compare_on
from hisa_eval.run.fidelity_place import Place, Source
from hisa_eval.run.fidelity_sources import source_of
from hisa_eval.run.folder import Folder, choose_folder, named_folder
from hisa_eval.run.manifest import collect_environment
from hisa_eval.run.plan import Answerer, settle
from hisa_eval.run.runner import Outcome
from hisa_eval.run.store import RunStore

if TYPE_CHECKING:
    from hisa_eval.indexers.base import Indexer

COMMAND = "fidelity"
VERSION = 2
"""Rises with every change of a figure's definition."""

Tell = Callable[[Place, int, int], None]
"""Hears of every context before it is computed: place, how many are done, how many there are."""


@dataclass(frozen=True)
class PlannedFidelity:
    """A checked comparison.

    Attributes:
        settings: As given.
        answerer: Device, dtype, k and indexers, flat DSA first.
        source: Where inputs come from.
        runner: The one of the indexers that the model runs with.
    """

    settings: FidelitySettings
    answerer: Answerer
    source: Source
    runner: Indexer

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """Every setting in the one form that is compared and hashed."""
        who = self.answerer
        return {
            **self.settings.model_dump(mode="json"),
            "command": COMMAND,
            "indexer": who.labels,
            "device": who.device,
            "dtype": who.dtype,
            "topk": who.topk,
            "lengths": sorted({place.length for place in self.source.places}),
            "n_planned": len(self.source.places) * len(who.indexers),
            **self.source.identity(),
            "run_with": self.runner.label,
            "version": VERSION,
        }


def plan_fidelity(settings: FidelitySettings) -> PlannedFidelity:
    """Check everything that can be checked without weights; flat DSA and the model's own always take part.

    Raises:
        UserError: names that do not exist, options that do not go together, files that cannot be used.
    """
    runner = indexer_registry.parse(settings.run_with)
    _refuse_runner(runner)
    named = indexer_registry.parse_list(settings.indexer)
    if runner.name != "dsa" and runner.label not in [one.label for one in named]:
        settings = settings.model_copy(update={"indexer": f"{settings.run_with},{settings.indexer}"})
    who = settle(settings)
    flat = [one for one in who.indexers if one.name == "dsa"] or [indexer_registry.parse("dsa")]
    others = [one for one in who.indexers if one.name != "dsa"]
    for one in others:
        _refuse_steps(one)
    who = Answerer(who.model, who.device, who.dtype, who.topk, (*flat, *others))
    runner = next((one for one in who.indexers if one.label == runner.label), flat[0])
    source = source_of(settings, who.device, who.dtype, who.topk, runner)
    return PlannedFidelity(settings, who, source, runner)


def _refuse_runner(runner: Indexer) -> None:
    _refuse_steps(runner)
    if taken_over_from(runner) == "layers":
        raise UserError(
            f"--run-with {runner.label}: a layer attends to what another one selected, so that its inputs "
            "come with no selection of its own to compare with",
            "have it shadow what it wraps: --run-with dsa --indexer index-cache",
        )


def _refuse_steps(indexer: Indexer) -> None:
    if taken_over_from(indexer) == "steps":
        raise UserError(
            f"{indexer.label} acts while decoding, and the rows compared here are those of a prefill",
            "have a model answer with it: hisa-eval niah, or hisa-eval sweep beside others",
        )


def fidelity_folder(run: PlannedFidelity, out: Path | None, *, resume: bool = True) -> Folder:
    """Where the run lands; nothing is written yet.

    Raises:
        UserError: the folder cannot be written, or holds something else.
    """
    if out is not None:
        folder = named_folder(out, resume=resume)
    else:
        n = len(run.source.places) * len(run.answerer.indexers)
        folder = choose_folder(Path(RESULTS), COMMAND, run.canonical, n, resume=resume)
    RunStore.preflight(folder.path, run.canonical)
    return folder


def execute_fidelity(
    run: PlannedFidelity,
    folder: Folder,
    tell: Tell = lambda place, done, total: None,
    *,
    threads: int | None = None,
) -> Outcome:
    """Compare on every context that the store has no result for.

    Raises:
        UserError: the model cannot be loaded, or the folder cannot be written or holds another run.
        KeyboardInterrupt: stopped by the user; every finished context is kept.
    """
    began = time.perf_counter()
    set_threads(threads)
    run.source.open()
    environment = collect_environment(
        command=COMMAND,
        model=run.source.describe(),
        device=device_facts(run.answerer.device),
        task_data=run.source.identity(),
        indexers=[{"label": one.label, "settings": dict(one.settings)} for one in run.answerer.indexers],
        seed=run.settings.seed,
    )
    places, indexers = run.source.places, run.answerer.indexers
    outcome = Outcome(len(places) * len(indexers))
    with RunStore.create_or_open(folder.path, run.canonical, environment) as store:
        for number, place in enumerate(places):
            tell(place, number, len(places))
            facts = _facts(run, place)
            keys = {one.label: _key(run, place, facts, one) for one in indexers}
            missing = [one for one in indexers if not store.done(keys[one.label])]
            outcome.n_reused += len(indexers) - len(missing)
            for record in compare_on(run, place, missing):
                label = record["indexer"]
                store.append({**facts, **record, "key": keys[label]})
                if record["status"] == "failed":
                    outcome.n_failed += 1
                    outcome.reasons += [record["reason"]] if record["reason"] not in outcome.reasons else []
    outcome.seconds = time.perf_counter() - began
    return outcome


def _facts(run: PlannedFidelity, place: Place) -> dict[str, Any]:
    facts = {"needle": "", "haystack": "", "prompt_tail": "", "references": [], **run.source.facts(place)}
    return {
        **facts,
        "task": place.task,
        "length": place.length,
        "depth": place.depth,
        "sample": place.sample,
        "prompt_head": "",
        "n_total_tokens": facts["n_prompt_tokens"] + facts["max_new_tokens"],
        "prediction": "",
        "finish_reason": None,
        "n_generated": 0,
        "n_reused_tokens": 0,
        "selection": {},
    }


def _key(run: PlannedFidelity, place: Place, facts: Mapping[str, Any], indexer: Indexer) -> str:
    return sample_key(
        {
            **decides_inputs(run, place, facts),
            "indexer": {"name": indexer.name, "settings": dict(indexer.settings)},
            "precisions": list(run.settings.precisions),
        }
    )


def decides_inputs(run: PlannedFidelity, place: Place, facts: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides what every indexer gets of a context; JSON types only.

    Args:
        run: A checked comparison.
        place: Of the context.
        facts: What the run's source says of it.
    """
    settings = run.settings
    return {
        **run.source.identity(),
        "version": VERSION,
        "place": list(place),
        "prompt_sha256": facts["prompt_sha256"],
        "topk": run.answerer.topk,
        "rows": settings.rows,
        "seed": settings.seed,
        "attention": settings.attention,
    }
