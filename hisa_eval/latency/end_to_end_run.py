"""Whole answers of a model timed, indexers taking turns: first token, every further one, memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hisa_eval.latency.clocks import Clocks
from hisa_eval.latency.end_to_end import COMMAND, DEPTH, PlannedEndToEnd
from hisa_eval.models import registry as model_registry
from hisa_eval.run.canonical import sample_key, text_hash
from hisa_eval.run.device import device_facts, set_threads
from hisa_eval.run.folder import Folder
from hisa_eval.run.manifest import collect_environment
from hisa_eval.run.runner import Outcome
from hisa_eval.run.store import RunStore

if TYPE_CHECKING:
    from hisa_tasks.sample import Sample

VERSION = 1
"""Rises with every change of what is timed."""

METHOD = (
    "Wall time of one sequence at a time, from the prompt's token ids to token ids on the host. One answer "
    "of everybody warms up at every length; then all take turns, in an order that moves on by one with every "
    "repetition, and each starts from an empty cache. Every answer has the same number of tokens. What is "
    "recorded once and replayed (a CUDA graph) is not counted. Peak memory is that of the warming answer, "
    "from empty buffers."
)

Tell = Callable[[str, int, int, int, int], None]
"""Hears of every answer before it is timed: who, length, repetition (-1 warms up), how many are done, of how
many."""


def execute_end_to_end(
    run: PlannedEndToEnd,
    folder: Folder,
    tell: Tell = lambda who, length, repetition, done, total: None,
    *,
    threads: int | None = None,
) -> Outcome:
    """Time every answer that the store has no result for.

    Raises:
        UserError: the model cannot be loaded, or the folder cannot be written or holds another run.
        KeyboardInterrupt: stopped by the user; every finished answer is kept.
    """
    began = time.perf_counter()
    set_threads(threads)
    settings, who = run.settings, run.answerer
    clocks = Clocks(run)
    environment = collect_environment(
        command=COMMAND,
        model=clocks.described,
        device=device_facts(who.device),
        task_data=run.task.describe(),
        indexers=[{"label": one.label, "settings": dict(one.settings)} for one in who.indexers],
        seed=settings.seed,
    )
    environment["method"] = METHOD
    total = int(run.canonical["n_planned"])
    outcome = Outcome(total)
    tokenizer = model_registry.tokenizer(settings.model)
    done = 0
    with RunStore.create_or_open(folder.path, run.canonical, environment) as store:
        for length in run.lengths:
            sample = run.task.sample(length, DEPTH, 0, tokenizer)
            keys = {
                (label, number): _key(run, sample, label, number)
                for label in run.contestants
                for number in range(run.repetitions)
            }
            missing = [place for place, key in keys.items() if not store.done(key)]
            outcome.n_reused += len(keys) - len(missing)
            done += len(keys) - len(missing)
            tokens = [int(one) for one in tokenizer.encode(sample.prompt)]
            broken: dict[str, str] = {}
            peaks: dict[str, int | None] = {}
            for label in dict.fromkeys(label for label, _ in missing):
                tell(label, length, -1, done, total)
                found = clocks.warm(label, tokens)
                if isinstance(found, str):
                    broken[label] = found
                else:
                    peaks[label] = found["peak_bytes"]
            for label in peaks if who.device == "cuda" else ():
                clocks.time(label, tokens)  # Records the graphs that the warming answers let go.
            for number in range(run.repetitions):
                for place, label in enumerate(_turns(run.contestants, number)):
                    if (label, number) not in missing:
                        continue
                    if label not in broken:
                        tell(label, length, number, done, total)
                    found = broken.get(label) or clocks.time(label, tokens)
                    if not isinstance(found, str):
                        found["peak_bytes"] = peaks[label]
                    facts = _facts(sample, length, label, number, len(tokens))
                    store.append({**facts, **_result(run, label, found, place), "key": keys[label, number]})
                    done += 1
                    if isinstance(found, str):
                        outcome.n_failed += 1
                        outcome.reasons += [found] if found not in outcome.reasons else []
    outcome.seconds = time.perf_counter() - began
    return outcome


def _turns(labels: list[str], number: int) -> list[str]:
    """Everybody once, beginning with another one in every repetition."""
    first = number % len(labels)
    return [*labels[first:], *labels[:first]]


def _key(run: PlannedEndToEnd, sample: Sample, label: str, number: int) -> str:
    return sample_key(
        {
            "version": VERSION,
            "settings": {**run.canonical, "lengths": None, "n_planned": None, "repetitions": None},
            "indexer": label,
            "prompt_sha256": text_hash(sample.prompt),
            "repetition": number,
        }
    )


def _facts(sample: Sample, length: int, label: str, number: int, n_tokens: int) -> dict[str, Any]:
    return {
        "sample_id": f"{COMMAND}/{length}/{number}",
        "task": COMMAND,
        "indexer": label,
        "length": length,
        "depth": DEPTH,
        "sample": number,
        "needle": str(sample.meta.get("needle", "")),
        "haystack": str(sample.meta.get("haystack", "")),
        "prompt_sha256": text_hash(sample.prompt),
        "prompt_head": "",
        "prompt_tail": sample.prompt[-200:],
        "references": list(sample.references),
        "n_prompt_tokens": n_tokens,
        "n_total_tokens": n_tokens + sample.max_new_tokens,
        "max_new_tokens": sample.max_new_tokens,
        "prediction": "",
        "n_reused_tokens": 0,
        "selection": {},
    }


def _result(run: PlannedEndToEnd, label: str, found: dict[str, Any] | str, place: int) -> dict[str, Any]:
    if isinstance(found, str):
        return {
            "score": None,
            "status": "failed",
            "reason": found,
            "finish_reason": None,
            "n_generated": 0,
            "seconds": {"prefill": None, "decode": None, "build": None},
        }
    exact = [one.exact_below(run.answerer.topk) for one in run.answerer.indexers if one.label == label]
    return {
        "score": 1.0,  # Every line of a store has one; what was generated is judged when it is read.
        "status": "ok",
        "reason": None,
        "finish_reason": "length",
        "n_generated": len(found["ids"]),
        "seconds": {"prefill": found["first_seconds"], "decode": found["following_seconds"], "build": None},
        "details": {**found, "place": place, "exact_below": min(exact[0], 2**53) if exact else None},
    }
