"""Greedy decoding in steps that leave nothing to the host: on CUDA, one captured graph replayed.

A step reads and writes tensors that keep their places: the cache's whole room, the newest token, its
position and how many keys there are. So a graph of it serves every prompt until the cache has to move, and
several steps run before the host looks at what they gave.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hisa_eval.fidelity.probe import EvidenceTracker
from hisa_eval.indexers.base import Indexer, NewestSelector
from hisa_eval.indexers.newest import newest_selector
from hisa_eval.models.transformers_dsa.cache import SequenceCache
from hisa_eval.models.transformers_dsa.runtime import Runtime

LOOK = 8
"""Steps between two looks at the tokens; what is computed behind a stop token is thrown away."""

WARM_UPS = 2
"""Steps before a capture: kernels are compiled and loaded, libraries take their workspaces."""


class Stepper:
    """Decode steps of one indexer over one cache.

    Args:
        model: From `load_swapped`.
        runtime: Its runtime.
        cache: Holds a prompt, and has room for its answer.
        masks: What the layers get for a mask.
        selectors: The indexer's, by layer, over the cache's buffers.
        capture: Replay a CUDA graph; else every step is launched as it is.
    """

    def __init__(
        self,
        model: Any,
        runtime: Runtime,
        cache: SequenceCache,
        masks: dict[str, Tensor],
        selectors: dict[int, NewestSelector],
        *,
        capture: bool,
    ) -> None:
        self._model, self._runtime, self._cache, self._masks = model, runtime, cache, masks
        self._selectors, self._capture = selectors, capture
        self._layers = list(selectors)
        self._graph: torch.cuda.CUDAGraph | None = None
        self.capture_seconds = 0.0  # that the last `begin` spent on recording a graph
        device = masks[next(iter(masks))].device
        room = min(keys.shape[0] for keys in cache.indexer_keys().values())

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self._token, self._position, self._slot = zeros(1, 1), zeros(1), zeros(1)
        self._end = zeros(1, dtype=torch.int32)
        # One place more than the room: where a selection is empty.
        self._evidence = zeros(room + 1, dtype=torch.bool)
        self._hits = zeros(len(selectors))
        self._given = zeros(LOOK, 1 + len(selectors))
        self._checksum = zeros(1, dtype=torch.float32)

    def serves(self, ends: tuple[int, int]) -> bool:
        """Whether all of its selectors serve sequences from that least to that greatest length."""
        return all(selector.serves(ends) for selector in self._selectors.values())

    def begin(self, token: int, position: int, tracker: EvidenceTracker) -> None:
        """Take up an answer.

        Args:
            token: Its first token.
            position: Where that stands: how many tokens the cache holds.
            tracker: Is told what the steps select of the evidence.

        Raises:
            RuntimeError: the model cannot be captured in a CUDA graph.
        """
        self._start, self._tracker = position, tracker
        self._place(token, position)
        self.capture_seconds = 0.0
        if self._capture and self._graph is None:
            began = time.perf_counter()
            self._graph = self._captured(token, position)
            self.capture_seconds = time.perf_counter() - began
            self._place(token, position)
        self._evidence.zero_()
        if tracker.positions:
            self._evidence[torch.tensor(tracker.positions, device=self._evidence.device)] = True
        for selector in self._selectors.values():
            selector.begin(position)

    def run(self, limit: int) -> Iterator[int]:
        """The tokens that follow, `limit` of them.

        It ends before that where an indexer's input may have been NaN or infinite; the cache then holds all
        tokens but the last one given.
        """
        for done in range(0, limit, LOOK):
            count = min(LOOK, limit - done)
            self._slot.zero_()
            for _ in range(count):
                if self._graph is None:
                    self._step()
                else:
                    self._graph.replay()
            given = self._given.tolist()
            if not bool(torch.isfinite(self._checksum)):
                self._cache.claim(self._start + done)
                return
            for following, *hits in given[:count]:
                for layer, found in zip(self._layers, hits, strict=True):
                    self._tracker.count(layer, found)
                yield following

    def _place(self, token: int, position: int) -> None:
        self._token.fill_(token)
        self._position.fill_(position)
        self._end.fill_(position + 1)
        self._slot.zero_()
        self._checksum.zero_()

    def _captured(self, token: int, position: int) -> torch.cuda.CUDAGraph:
        device = self._token.device
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                self._place(token, position)
                self._step()
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=aside):
            self._step()
        return graph

    def _step(self) -> None:
        """One token: nothing in here may wait for the device, or depend on what its tensors hold."""
        self._runtime.first_row = None
        self._runtime.stepper = self._select
        try:
            with self._cache.writing_at(self._position):
                hidden = self._model.model(
                    input_ids=self._token,
                    position_ids=self._position[None],
                    attention_mask=self._masks,
                    past_key_values=self._cache,
                    use_cache=True,
                ).last_hidden_state
        finally:
            self._runtime.stepper = None
        following = self._model.lm_head(hidden[:, -1:]).argmax(-1)
        self._given.index_copy_(0, self._slot, torch.cat((following.view(1), self._hits))[None])
        self._token.copy_(following)
        for counter in (self._position, self._end, self._slot):
            counter.add_(1)

    def _select(self, layer: int, q: Tensor, k: Tensor, weights: Tensor) -> Tensor:
        own = k.index_select(0, self._position)
        # A sum is finite only where all of its terms are.
        self._checksum.add_(q.float().sum() + own.float().sum() + weights.sum())
        chosen = self._selectors[layer].select(q, weights, self._end)
        nowhere = len(self._evidence) - 1
        place = chosen.view(-1).masked_fill(chosen.view(-1) < 0, nowhere)
        self._hits[self._layers.index(layer)].copy_(self._evidence.index_select(0, place).sum())
        return chosen


def stepper(
    model: Any,
    runtime: Runtime,
    cache: SequenceCache,
    masks: dict[str, Tensor],
    indexer: Indexer,
    ends: tuple[int, int],
    *,
    capture: bool,
) -> Stepper | None:
    """Steps of an indexer that offers a selector for new tokens, else None.

    Args: As of `Stepper`, and
        ends: Least and greatest number of tokens at the steps.
    """
    selectors: dict[int, NewestSelector] = {}
    for layer, keys in cache.indexer_keys().items():
        selector = newest_selector(indexer, keys, model.config.index_n_heads, runtime.topk, ends)
        if selector is None:
            return None
        selectors[layer] = selector
    return Stepper(model, runtime, cache, masks, selectors, capture=capture)
