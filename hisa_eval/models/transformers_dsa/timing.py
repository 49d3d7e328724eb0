"""Answers under a stopwatch: a prompt of given tokens, then a given number of tokens, greedily."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hisa_eval.indexers.base import Indexer
from hisa_eval.models.transformers_dsa.loading import loading_errors, settings_of
from hisa_eval.models.transformers_dsa.session import Session


@dataclass(frozen=True)
class TimedAnswer:
    """One answer and how long it took, in seconds of wall time.

    Every figure ends with token ids on the host, so the device has done all that is counted.

    Attributes:
        ids: All generated tokens.
        first: From the prompt's tokens to the first generated one.
        following: From there to the last one, what another answer is spared left out.
        setup: What was left out: recording of a CUDA graph and its workspaces.
        decoding: `"eager"`, `"steps"` or `"graph"`.
    """

    ids: list[int]
    first: float
    following: float
    setup: float
    decoding: str


class SwappedStopwatch:
    """A model of the harness under a stopwatch.

    Args:
        session: Of its own, without stop tokens.
        device: `"cpu"` or `"cuda"`.
    """

    def __init__(self, session: Session, device: str) -> None:
        self._session = session
        self._device = device

    def release(self) -> None:
        """Give back all that earlier answers left: buffers, workspaces, recorded graphs."""
        self._session.reset()

    def time(self, tokens: Sequence[int], indexer: Indexer, n_new: int) -> TimedAnswer:
        """Answer `tokens` with exactly `n_new` tokens, from nothing.

        Args:
            tokens: The prompt.
            indexer: Who selects, in every layer.
            n_new: Tokens to generate, at least 2.
        """
        self._session.forget()
        _wait(self._device)
        try:
            answer = self._session.answer(tokens, indexer, n_new, probe=False)
        except BaseException:
            self._session.reset()
            raise
        setup = answer.setup_seconds
        return TimedAnswer(
            answer.ids, answer.prefill_seconds, answer.decode_seconds - setup, setup, self._session.decoding
        )


class StockStopwatch:
    """transformers' own model under a stopwatch: its indexer, its attention, its cache, in the same chunks.

    Args:
        path: Folder of the checkpoint.
        device: `"cpu"` or `"cuda"`.
        dtype: Of weights and activations.
        topk: Token budget k.
        chunk: Tokens of a prefill chunk.

    Raises:
        UserError: transformers cannot load it.
    """

    def __init__(self, path: Path, *, device: str, dtype: torch.dtype, topk: int, chunk: int) -> None:
        import importlib

        architecture, config = settings_of(str(path))
        config.index_topk = topk
        module = importlib.import_module(architecture.module)
        with loading_errors(str(path)):
            model = getattr(module, architecture.prefix + "ForCausalLM").from_pretrained(
                path, config=config, dtype=dtype, attn_implementation="eager"
            )
        self._model: Any = model.to(device).eval()
        self._device = device
        self._chunk = chunk

    def release(self) -> None:
        """Nothing is kept."""

    @torch.inference_mode()
    def time(self, tokens: Sequence[int], indexer: object, n_new: int) -> TimedAnswer:
        """As `SwappedStopwatch.time`; `indexer` is not asked."""
        from transformers import DynamicCache

        _wait(self._device)
        began = time.perf_counter()
        cache = DynamicCache(config=self._model.config)
        prompt = torch.as_tensor(tokens, dtype=torch.int64, device=self._device)[None]
        token = 0
        for start in range(0, prompt.shape[1], self._chunk):
            token = self._next(prompt[:, start : start + self._chunk], cache)
        first = time.perf_counter()
        ids = [token]
        while len(ids) < n_new:
            ids.append(self._next(torch.tensor([[ids[-1]]], device=self._device), cache))
        return TimedAnswer(ids, first - began, time.perf_counter() - first, 0.0, "eager")

    def _next(self, ids: torch.Tensor, cache: Any) -> int:
        logits = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        return int(logits[0, -1].argmax())


def _wait(device: str) -> None:
    """Until the device has nothing left to do."""
    if device == "cuda":
        torch.cuda.synchronize()
