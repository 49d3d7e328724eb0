"""One sequence at a time through a swapped-in model: chunked prefill, prefix reuse, greedy decoding."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
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


@dataclass(frozen=True)
class Answer:
    """Generated token ids (stop token excluded) and how they came about; fields as in `Generation`."""

    ids: list[int]
    finish_reason: str
    prefill_seconds: float
    decode_seconds: float
    n_reused_tokens: int
    selection: dict[str, Any]


@dataclass
class _Prefix:
    """What is kept of the sequence that the cache holds."""

    tokens: list[int] = field(default_factory=list)
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
    """

    def __init__(self, model: Any, runtime: Runtime, *, chunk: int, stop_ids: Sequence[int]) -> None:
        self._model = model
        self._runtime = runtime
        self._chunk = chunk
        self._stop_ids = frozenset(stop_ids)
        self._device = input_device(model)
        self._masks = placeholder_masks(self._device)
        self._flat = DsaIndexer()
        self.reset()

    def reset(self) -> None:
        """Forget the last prompt."""
        self._cache = SequenceCache(self._model.config.kv_lora_rank)
        self._prefix = _Prefix()

    def _reusable(self, tokens: Sequence[int], settings: tuple[object, ...]) -> int:
        """Tokens of the last prompt whose state serves this one: whole chunks, never the last token."""
        if settings != self._prefix.settings:
            return 0
        common = 0
        for mine, theirs in zip(tokens, self._prefix.tokens, strict=False):
            if mine != theirs:
                break
            common += 1
        return min(common, len(tokens) - 1) // self._chunk * self._chunk

    def _forward(self, tokens: Sequence[int], position: int, first_row: int | None) -> Tensor:
        """Last hidden states `[1, S, hidden]` of `tokens`, which stand at `position` and after."""
        self._runtime.first_row = first_row
        ids = torch.tensor([tokens], device=self._device)
        places = torch.arange(position, position + len(tokens), device=self._device)[None]
        return self._model.model(
            input_ids=ids,
            position_ids=places,
            attention_mask=self._masks,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state

    def _next_token(self, hidden: Tensor) -> int:
        return int(self._model.lm_head(hidden[:, -1:]).argmax(-1))

    @torch.inference_mode()
    def answer(
        self,
        tokens: Sequence[int],
        indexer: Indexer,
        max_new_tokens: int,
        *,
        probe: bool = True,
        seed: int = 0,
        evidence: Sequence[int] = (),
    ) -> Answer:
        """Continue `tokens` greedily.

        Args:
            tokens: The prompt.
            indexer: Who selects, in every layer.
            max_new_tokens: Most tokens to generate.
            probe: Compare sampled rows with flat DSA.
            seed: Decides those rows.
            evidence: Token positions whose selection by the answering rows is followed.
        """
        began = time.perf_counter()
        settings = (indexer.label, self._runtime.topk, probe, seed)
        reused = self._reusable(tokens, settings)
        if reused == 0:
            self.reset()
            self._runtime.begin(indexer)
        self._cache.truncate(reused)
        self._runtime.truncate(reused)
        self._prefix.settings = settings
        self._prefix.tokens = list(tokens[:reused])
        self._prefix.figures = {s: f for s, f in self._prefix.figures.items() if s < reused}
        tracker = EvidenceTracker(tuple(evidence))
        last_rows: dict[int, RowFigures] = {}
        hidden = torch.empty(0)
        for start in range(reused, len(tokens), self._chunk):
            part = tokens[start : start + self._chunk]
            final = start + self._chunk >= len(tokens)
            self._watch(start, len(part), indexer, seed, last_rows if final else None, enabled=probe)
            self._runtime.taker = (lambda layer, chosen: tracker.see(layer, chosen[-1:])) if final else None
            hidden = self._forward(part, start, len(part) - 1 if final else len(part))
            self._prefix.tokens += part
        self._runtime.watcher = None
        token = self._next_token(hidden)
        prefilled = time.perf_counter()
        ids: list[int] = []
        while token not in self._stop_ids and len(ids) < max_new_tokens:
            ids.append(token)
            if len(ids) < max_new_tokens:
                hidden = self._forward([token], len(tokens) + len(ids) - 1, None)
                token = self._next_token(hidden)
        self._runtime.taker = None
        figures: dict[int, list[RowFigures]] = {}
        for chunk_start in sorted(self._prefix.figures):
            for layer, rows in self._prefix.figures[chunk_start].items():
                figures.setdefault(layer, []).extend(rows)
        exact = indexer.exact_below(self._runtime.topk)
        return Answer(
            ids=ids,
            finish_reason="stop" if token in self._stop_ids else "length",
            prefill_seconds=prefilled - began,
            decode_seconds=time.perf_counter() - prefilled,
            n_reused_tokens=reused,
            selection=selection_figures(figures, last_rows, tracker, exact) if probe else {},
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
