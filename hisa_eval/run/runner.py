"""Takes a run step by step: builds the sample, asks the model, scores, and keeps the record."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hisa_eval.config.grammar import format_length
from hisa_eval.run.canonical import sample_key, text_hash
from hisa_eval.run.grid import Layout, Step
from hisa_eval.run.questions import Questions
from hisa_eval.run.store import RunStore
from hisa_tasks.sample import Sample

if TYPE_CHECKING:
    from hisa_eval.indexers.base import Indexer
    from hisa_eval.models.base import Generation, Model

EXCERPT = 200
"""Characters kept of a prompt's start and of its end."""

MOST_PLACES = 64
"""Places of the answer's text that a record tells; where there are more, it tells none."""

_MEMORY_ERRORS = ("CellError", "MemoryError", "OutOfMemoryError")
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


class Observer(Protocol):
    """Who is told how the run goes."""

    def begin(self, layout: Layout) -> None:
        """The run is about to begin."""
        ...

    def step_started(self, step: Step) -> None:
        """A step is about to be computed."""
        ...

    def step_finished(self, step: Step, record: Mapping[str, Any], reused: bool) -> None:
        """A step has its record, computed now or found in the store."""
        ...

    def end(self) -> None:
        """No step will follow, whether the run finished or not."""
        ...


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        n_total: Steps of the run.
        n_reused: Steps found finished in the store.
        n_failed: Steps that failed now.
        reasons: First reasons of failures, each once.
        seconds: Wall time.
    """

    n_total: int
    n_reused: int = 0
    n_failed: int = 0
    reasons: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class _Built:
    """A sample and what it took to build it; `error` in its place where it could not be built."""

    sample: Sample | None
    seconds: float
    error: str | None = None


class Runner:
    """One run over a layout.

    Args:
        model: A loaded model.
        questions: Makes the samples and scores them.
        indexers: All that the layout's steps name.
        identity: Everything but sample and suite that changes a result: model, generation settings. It
            becomes part of every sample's key.
        seed: Decides which rows the probe samples.
        probe: Also compare each selection with flat DSA's.
    """

    def __init__(
        self,
        model: Model,
        questions: Questions,
        indexers: Sequence[Indexer],
        *,
        identity: Mapping[str, Any],
        seed: int = 0,
        probe: bool = True,
    ) -> None:
        self.model = model
        self.questions = questions
        self.indexers = {indexer.label: indexer for indexer in indexers}
        self.identity = dict(identity)
        self.seed = seed
        self.probe = probe
        self._built: dict[tuple[int | None, str, int, float | None], _Built] = {}
        self._given_up: dict[str, tuple[int, str]] = {}

    def run(self, layout: Layout, store: RunStore, observer: Observer) -> Outcome:
        """Compute every step that the store has no result for.

        A step that fails is recorded with its reason and the run goes on. After a step that ran out of
        memory (or asked more than the model can take) the same indexer is not tried again at that length
        or a longer one within this run.

        Args:
            layout: What to run.
            store: Where results are and go.
            observer: Is told of every step.

        Raises:
            UserError: the store cannot be written.
            KeyboardInterrupt: the user stopped it; everything finished so far is kept.
        """
        started = time.perf_counter()
        outcome = Outcome(len(layout))
        known = {record["key"]: record for record in store.records()}
        observer.begin(layout)
        try:
            for step in self._announced(layout.steps(), store):
                built = self._build(step)
                key = self._key(step, built)
                if store.done(key):
                    outcome.n_reused += 1
                    observer.step_finished(step, known[key], reused=True)
                    continue
                observer.step_started(step)
                record = self._record(step, key, built)
                store.append(record)
                if record["status"] == "failed":
                    outcome.n_failed += 1
                    if record["reason"] not in outcome.reasons:
                        outcome.reasons.append(record["reason"])
                observer.step_finished(step, record, reused=False)
        finally:
            observer.end()
            outcome.seconds = time.perf_counter() - started
        return outcome

    def _announced(self, steps: Iterable[Step], store: RunStore) -> Iterator[Step]:
        """The steps; a model that answers several at once is told of those of the same length and task that
        come next."""
        ahead = max(1, int(getattr(self.model, "concurrency", 1)))
        if ahead == 1:
            yield from steps
            return
        for _, group in itertools.groupby(steps, key=lambda step: (step.length, step.task)):
            waiting: deque[Step] = deque()
            for step in group:
                built = self._build(step)
                if (
                    built.sample is not None
                    and step.indexer not in self._given_up
                    and not store.done(self._key(step, built))
                ):
                    self.model.announce(built.sample)  # type: ignore[attr-defined]
                waiting.append(step)
                if len(waiting) >= ahead:
                    yield waiting.popleft()
            yield from waiting

    def _build(self, step: Step) -> _Built:
        """The step's sample; built once for all indexers, forgotten when the length or task changes."""
        place = (step.length, step.task, step.sample, step.depth)
        if place not in self._built:
            if self._built and next(iter(self._built))[:2] != place[:2]:
                self._built.clear()
            began = time.perf_counter()
            try:
                sample = self.questions.sample(step, self.model.tokenizer)
                self._built[place] = _Built(sample, time.perf_counter() - began)
            except Exception as error:
                self._built[place] = _Built(None, time.perf_counter() - began, reason_of(error))
        return self._built[place]

    def _key(self, step: Step, built: _Built) -> str:
        indexer = self.indexers[step.indexer]
        sample = built.sample
        return sample_key(
            {
                **self.identity,
                **self.questions.identity(step),
                "indexer": {"name": indexer.name, "settings": dict(indexer.settings)},
                "length": step.length,
                "depth": step.depth,
                "sample": step.sample,
                "prompt_sha256": text_hash(sample.prompt) if sample else None,
                "references": list(sample.references) if sample else None,
                "max_new_tokens": sample.max_new_tokens if sample else None,
                "seed": self.seed,
                "probe": self.probe,
                **({"stop": list(sample.stop)} if sample and sample.stop else {}),
                **({"literal": list(sample.literal)} if sample and sample.literal else {}),
            }
        )

    def _record(self, step: Step, key: str, built: _Built) -> dict[str, Any]:
        if built.sample is None:
            return self._failed(step, key, built, f"the sample cannot be built: {built.error}")
        given_up = self._given_up.get(step.indexer)
        if given_up and built.sample.length >= given_up[0]:
            return self._failed(
                step, key, built, f"not tried, as {format_length(given_up[0])} failed: {given_up[1]}"
            )
        try:
            generation = self.model.generate(
                built.sample, self.indexers[step.indexer], probe=self.probe, seed=self.seed
            )
            score = float(self.questions.score(built.sample, generation.text))
        except Exception as error:
            reason = reason_of(error)
            if _is_size_limit(error):
                self._given_up[step.indexer] = (built.sample.length, reason)
            return self._failed(step, key, built, reason)
        return self._finished(step, key, built.sample, built.seconds, generation, score)

    def _finished(
        self, step: Step, key: str, sample: Sample, build_seconds: float, generation: Generation, score: float
    ) -> dict[str, Any]:
        return {
            **self._facts(step, key, sample),
            "n_prompt_tokens": generation.n_prompt_tokens,
            "n_total_tokens": generation.n_prompt_tokens + sample.max_new_tokens,
            "prediction": generation.text,
            "score": score,
            "status": "ok",
            "reason": None,
            "finish_reason": generation.finish_reason,
            "n_generated": generation.n_generated,
            "seconds": {
                "prefill": generation.prefill_seconds,
                "decode": generation.decode_seconds,
                "build": build_seconds,
            },
            "n_reused_tokens": generation.n_reused_tokens,
            "selection": dict(generation.selection),
        }

    def _failed(self, step: Step, key: str, built: _Built, reason: str) -> dict[str, Any]:
        return {
            **self._facts(step, key, built.sample),
            "prediction": "",
            "score": None,
            "status": "failed",
            "reason": reason,
            "finish_reason": None,
            "n_generated": 0,
            "seconds": {"prefill": None, "decode": None, "build": built.seconds},
            "n_reused_tokens": 0,
            "selection": {},
        }

    def _facts(self, step: Step, key: str, sample: Sample | None) -> dict[str, Any]:
        """What a record says of its sample, whatever became of it."""
        prompt = sample.prompt if sample else ""
        meta = sample.meta if sample else {}
        n_prompt = sample.n_prompt_tokens if sample else 0
        max_new = sample.max_new_tokens if sample else 0
        details = self.questions.details(sample) if sample else {}
        return {
            "key": key,
            "sample_id": sample.id if sample else self.questions.name(step),
            "task": step.task,
            "indexer": step.indexer,
            "length": _length(step, sample),
            "depth": step.depth,
            "sample": step.sample,
            "needle": str(meta.get("needle", "")),
            "haystack": str(meta.get("haystack", "")),
            "prompt_sha256": text_hash(prompt),
            "prompt_head": prompt[:EXCERPT],
            "prompt_tail": prompt[-EXCERPT:],
            "n_prompt_tokens": n_prompt,
            "n_total_tokens": n_prompt + max_new,
            "max_new_tokens": max_new,
            "references": list(sample.references) if sample else [],
            **({"details": dict(details)} if details else {}),
            **({"evidence_at": places} if (places := _places(sample)) else {}),
        }


def _places(sample: Sample | None) -> list[float]:
    """Where the answer's text begins, in percent of the prompt; nothing where it is all over the prompt."""
    spans = sample.evidence if sample else ()
    if sample is None or len(spans) > MOST_PLACES:
        return []
    return sorted({round(100 * start / len(sample.prompt), 2) for start, _ in spans})


def _length(step: Step, sample: Sample | None) -> int | None:
    """The length asked for, or the class of a sample that has its own: the power of two that holds it."""
    if step.length is not None or sample is None:
        return step.length
    return 1 << (sample.length - 1).bit_length()


def reason_of(error: Exception) -> str:
    """One line for an exception; its type is named unless the message was written for people."""
    text = " ".join(str(error).split())
    if type(error).__name__ in ("CellError", "AnswerError"):
        return text or "the model gave no reason"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_size_limit(error: Exception) -> bool:
    """Whether trying the same or a larger size again would fail the same way. Known by name, so that torch
    need not be imported to tell."""
    names = {base.__name__ for base in type(error).__mro__}
    if names & set(_MEMORY_ERRORS):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _MEMORY_WORDS)
