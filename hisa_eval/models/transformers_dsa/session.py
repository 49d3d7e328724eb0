"""One sequence at a time through a swapped-in model: chunked prefill, prefix reuse, greedy decoding."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hisa_eval.fidelity.probe import (
    EvidenceTracker,
    RowFigures,
    compare_rows,
    sample_rows,
    selection_figures,
)
from hisa_eval.indexers.base import Indexer
from hisa_eval.indexers.dsa import DsaIndexer
from hisa_eval.models.transformers_dsa.cache import SequenceCache
from hisa_eval.models.transformers_dsa.loading import input_device
from hisa_eval.models.transformers_dsa.runtime import Runtime
from hisa_eval.models.transformers_dsa.seams import placeholder_masks
from hisa_eval.models.transformers_dsa.stepping import Stepper, stepper

Decoding = Literal["eager", "steps", "graph"]
"""Token by token through the indexer's `select`; in steps of `stepping`; in such steps from a CUDA graph."""

_MOST_STEPPERS = 4
"""Indexers whose steps are kept, each with its graph and workspaces."""


@dataclass(frozen=True)
class Answer:
    """Generated token ids (stop token excluded) and how they came about; fields as in `Generation`."""

    ids: list[int]
    finish_reason: str
    prefill_seconds: float
    decode_seconds: float
    n_reused_tokens: int
    selection: dict[str, Any]
    setup_seconds: float = 0.0
    """The part of `decode_seconds` that the next answer is spared: making steps, recording a graph."""


@dataclass
class _Prefix:
    """What is kept of the sequence that the cache holds."""

    tokens: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    settings: tuple[object, ...] = ()
    figures: dict[int, dict[int, list[RowFigures]]] = field(default_factory=dict)
    """Compared rows by chunk start and layer."""


class Session:
    """Runs prompts through a model and keeps the state of the last one for its successor.

    Chunks start at multiples of `chunk`, and only whole chunks are reused: every number is the one that a
    prefill from nothing would give.

    Args:
        model: From `load_swapped`.
        runtime: Its runtime.
        chunk: Tokens of a prefill chunk.
        stop_ids: Tokens that end an answer.
        decoding: How answers are generated; by default a CUDA graph on a GPU, else eagerly. An indexer that
            offers no selector for new tokens decodes eagerly whatever is given. The tokens are the same.
    """

    def __init__(
        self,
        model: Any,
        runtime: Runtime,
        *,
        chunk: int,
        stop_ids: Sequence[int],
        decoding: Decoding | None = None,
    ) -> None:
        self._model = model
        self._runtime = runtime
        self._chunk = chunk
        self._stop_ids = frozenset(stop_ids)
        self._device = input_device(model)
        self._masks = placeholder_masks(self._device)
        self._flat = DsaIndexer()
        self.decoding: Decoding = decoding or ("graph" if self._device.type == "cuda" else "eager")
        self.reset()

    def reset(self) -> None:
        """Forget the last prompt and give its memory back."""
        self._steppers: dict[tuple[object, ...], Stepper] = {}
        self._places: tuple[int, ...] = ()
        self._cache = SequenceCache(self._model.config.kv_lora_rank)
        self._setup_seconds = 0.0
        self.forget()

    def forget(self) -> None:
        """Take nothing of the last prompt over; its memory and recorded steps are kept."""
        self._prefix = _Prefix()

    def _reusable(self, tokens: NDArray[np.int64], settings: tuple[object, ...]) -> int:
        """Tokens of the last prompt whose state serves this one: whole chunks, never the last token."""
        if settings != self._prefix.settings:
            return 0
        both = min(len(tokens), len(self._prefix.tokens))
        apart = np.flatnonzero(tokens[:both] != self._prefix.tokens[:both])
        common = int(apart[0]) if len(apart) else both
        return min(common, len(tokens) - 1) // self._chunk * self._chunk

    def _forward(
        self, tokens: Sequence[int] | NDArray[np.int64], position: int, first_row: int | None
    ) -> Tensor:
        """Last hidden states `[1, S, hidden]` of `tokens`, which stand at `position` and after."""
        self._runtime.first_row = first_row
        ids = torch.as_tensor(tokens, dtype=torch.int64)[None].to(self._device)
        places = torch.arange(position, position + len(tokens), device=self._device)[None]
        return self._model.model(
            input_ids=ids,
            position_ids=places,
            attention_mask=self._masks,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state

    def _next_token(self, hidden: Tensor, barred: Collection[int] = ()) -> int:
        logits = self._model.lm_head(hidden[:, -1:])
        if barred:
            logits[..., list(barred)] = -torch.inf
        return int(logits.argmax(-1))

    def _following(
        self, token: int, position: int, limit: int, indexer: Indexer, tracker: EvidenceTracker
    ) -> Iterator[int]:
        """The `limit` tokens after `token`, which stands at `position`."""
        given = 0
        steps = self._steps(token, position, limit, indexer, tracker) if limit > 0 else None
        if steps is not None:
            for token in steps.run(limit):
                given += 1
                yield token
        for at in range(position + given, position + limit):
            token = self._next_token(self._forward([token], at, None))
            yield token

    def _steps(
        self, token: int, position: int, limit: int, indexer: Indexer, tracker: EvidenceTracker
    ) -> Stepper | None:
        """Steps that begin with `token`, or None where the indexer or the model allows none."""
        if self.decoding == "eager":
            return None
        if self._places != self._cache.places():
            self._steppers.clear()
            self._places = self._cache.places()
        key, ends = (type(indexer), indexer.label, self._runtime.topk), (position + 1, position + limit)
        steps = self._steppers.pop(key, None)
        began = time.perf_counter()
        if steps is None or not steps.serves(ends):
            about = (self._model, self._runtime, self._cache, self._masks, indexer, ends)
            steps = stepper(*about, capture=self.decoding == "graph")
        self._setup_seconds = time.perf_counter() - began
        if steps is None:
            return None
        self._steppers[key] = steps
        if len(self._steppers) > _MOST_STEPPERS:
            self._steppers.pop(next(iter(self._steppers)))
        try:
            steps.begin(token, position, tracker)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if self.decoding != "graph":
                raise
            self.decoding = "eager"
            reason = str(error).splitlines()[0]
            warnings.warn(f"decoding without a CUDA graph, which is slow: {reason}", stacklevel=2)
            return None
        self._setup_seconds += steps.capture_seconds
        return steps

    @torch.inference_mode()
    def answer(
        self,
        tokens: Sequence[int] | NDArray[np.integer[Any]],
        indexer: Indexer,
        max_new_tokens: int,
        *,
        probe: bool = True,
        seed: int = 0,
        evidence: Sequence[int] = (),
        stop_ids: Collection[int] = (),
    ) -> Answer:
        """Continue `tokens` greedily.

        Args:
            tokens: The prompt.
            indexer: Who selects, in every layer.
            max_new_tokens: Most tokens to generate.
            probe: Compare sampled rows with flat DSA.
            seed: Decides those rows.
            evidence: Token positions whose selection by the answering rows is followed.
            stop_ids: Tokens that end this answer too. Where there are any, no stop token can be its first.
        """
        stops = self._stop_ids | frozenset(stop_ids)
        self._setup_seconds = 0.0
        began = time.perf_counter()
        settings = (indexer.label, self._runtime.topk, probe, seed)
        prompt = np.asarray(tokens, dtype=np.int64)
        reused = self._reusable(prompt, settings)
        if reused == 0:
            self._runtime.begin(indexer)
        self._cache.truncate(reused)
        if not self._cache.has_room(len(tokens) + max_new_tokens):
            self._steppers.clear()  # They hold on to the buffers that are about to move.
            self._cache.reserve(len(tokens) + max_new_tokens)
        self._runtime.truncate(reused)
        self._prefix.settings = settings
        self._prefix.tokens = prompt[:reused]
        self._prefix.figures = {s: f for s, f in self._prefix.figures.items() if s < reused}
        tracker = EvidenceTracker(tuple(evidence))
        last_rows: dict[int, RowFigures] = {}
        hidden = torch.empty(0)
        for start in range(reused, len(tokens), self._chunk):
            part = prompt[start : start + self._chunk]
            final = start + self._chunk >= len(tokens)
            self._watch(start, len(part), indexer, seed, last_rows if final else None, enabled=probe)
            self._runtime.taker = (lambda layer, chosen: tracker.see(layer, chosen[-1:])) if final else None
            hidden = self._forward(part, start, len(part) - 1 if final else len(part))
            self._prefix.tokens = prompt[: start + len(part)]
        self._runtime.watcher = None
        first = token = self._next_token(hidden, stops if stop_ids else ())
        prefilled = time.perf_counter()
        ids: list[int] = []
        following = self._following(first, len(tokens), max_new_tokens - 1, indexer, tracker)
        for token in itertools.chain([first], following):
            if token in stops or len(ids) >= max_new_tokens:
                break
            ids.append(token)
        self._runtime.taker = None
        figures: dict[int, list[RowFigures]] = {}
        for chunk_start in sorted(self._prefix.figures):
            for layer, rows in self._prefix.figures[chunk_start].items():
                figures.setdefault(layer, []).extend(rows)
        exact = indexer.exact_below(self._runtime.topk)
        return Answer(
            ids=ids,
            finish_reason="stop" if token in stops else "length",
            prefill_seconds=prefilled - began,
            decode_seconds=time.perf_counter() - prefilled,
            n_reused_tokens=reused,
            selection=selection_figures(figures, last_rows, tracker, exact) if probe else {},
            setup_seconds=self._setup_seconds,
        )

    def _watch(
        self,
        start: int,
        length: int,
        indexer: Indexer,
        seed: int,
        last_rows: dict[int, RowFigures] | None,
        *,
        enabled: bool,
    ) -> None:
        """Have the next chunk compared with flat DSA, and its last row by itself where it ends the prompt."""
        if not enabled:
            self._runtime.watcher = None
            return
        rows = sample_rows(start, length, seed)
        figures = self._prefix.figures.setdefault(start, {})

        def watch(layer: int, q: Tensor, k: Tensor, weights: Tensor, ends: Tensor) -> None:
            picked = torch.tensor(rows if last_rows is None else [*rows, length - 1], device=q.device)
            found = compare_rows(
                indexer,
                self._flat,
                self._runtime.topk,
                q[picked],
                k,
                weights[picked],
                ends[picked],
                self._runtime.states[layer],
            )
            if last_rows is not None:
                last_rows[layer] = found.pop()
            figures[layer] = found

        self._runtime.watcher = watch
