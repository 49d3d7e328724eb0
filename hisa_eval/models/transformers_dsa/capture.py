"""What every layer's indexer sees of some rows of a prompt, taken from a prefill with one indexer.

That one runs the model; others select on the same inputs and change nothing of what a later layer is asked.
Beside the model's caches the rows alone are held: of each layer R (H D + H + N + k) numbers for R rows of H
heads of D and N tokens, never rows times rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hisa_eval.fidelity.frame import Frame
from hisa_eval.indexers.base import Indexer
from hisa_eval.indexers.dsa import DsaIndexer
from hisa_eval.models.transformers_dsa.cache import SequenceCache
from hisa_eval.models.transformers_dsa.runtime import Runtime
from hisa_eval.models.transformers_dsa.seams import placeholder_masks

_TILE = 8
"""Rows whose dense attention is computed at a time."""


@torch.inference_mode()
def capture_frames(
    model: Any,
    runtime: Runtime,
    tokens: Sequence[int] | NDArray[np.int32],
    rows: Sequence[int],
    *,
    chunk: int,
    indexer: Indexer | None = None,
    attention: bool = True,
    evidence: Sequence[int] = (),
) -> list[Frame]:
    """Prefill a prompt and keep the rows asked for.

    Args:
        model: From `load_swapped`.
        runtime: Its runtime; watchers are removed when this returns.
        tokens: The prompt, with what of the answer is to be read.
        rows: Positions, ascending.
        chunk: Tokens of a prefill chunk.
        indexer: Runs the model; flat DSA by default.
        attention: Also compute the rows' dense attention, mean over heads: rows times context values a
            layer.
        evidence: Positions of the tokens that hold the answer.

    Returns:
        A frame for each layer.
    """
    device = next(model.parameters()).device
    runtime.begin(indexer or DsaIndexer())
    cache, masks = SequenceCache(model.config.kv_lora_rank), placeholder_masks(device)
    taken = _Taken(runtime, len(tokens))
    try:
        for start in range(0, len(tokens), chunk):
            part = tokens[start : start + chunk]
            inside = [row - start for row in rows if start <= row < start + len(part)]
            taken.next_chunk(
                torch.tensor(inside, dtype=torch.long, device=device), start, attention=attention
            )
            # The last layer's output is not asked for: its indexer inputs are all there is to see of it.
            runtime.first_row = len(part)
            model.model(
                input_ids=torch.tensor(part, dtype=torch.long, device=device)[None],
                position_ids=torch.arange(start, start + len(part), device=device)[None],
                attention_mask=masks,
                past_key_values=cache,
                use_cache=True,
            )
    finally:
        runtime.watcher = runtime.attention_watcher = runtime.taker = runtime.first_row = None
    ends = torch.tensor(rows, dtype=torch.int32, device=device) + 1
    return [taken.frame(layer, ends, tuple(evidence)) for layer in sorted(taken.keys)]


class _Taken:
    """Collects queries, gates, keys, selections and attention of a prefill, chunk by chunk."""

    def __init__(self, runtime: Runtime, length: int) -> None:
        self._runtime = runtime
        self._length = length
        self.keys: dict[int, Tensor] = {}
        self._parts: dict[int, dict[str, list[Tensor]]] = {}

    def next_chunk(self, inside: Tensor, start: int, *, attention: bool) -> None:
        """Watch the chunk that begins at `start`; `inside` are the wanted rows, counted from there."""

        def watch(layer: int, q: Tensor, k: Tensor, weights: Tensor, _ends: Tensor) -> None:
            self.keys[layer] = k
            parts = self._parts.setdefault(layer, {"q": [], "weights": [], "used": [], "attention": []})
            parts["q"].append(q[inside].clone())
            parts["weights"].append(weights[inside].clone())

        def take(layer: int, chosen: Tensor) -> None:
            self._parts[layer]["used"].append(chosen[inside].clone())

        def attend(layer: int, rows: Callable[[Tensor], Tensor], latents: Tensor, scale: float) -> None:
            for at in range(0, len(inside), _TILE):
                own = inside[at : at + _TILE]
                shares = _dense(rows(own), latents, own + start + 1, scale)
                wide = torch.zeros(len(own), self._length, device=shares.device)
                wide[:, : shares.shape[1]] = shares
                self._parts[layer]["attention"].append(wide)

        self._runtime.watcher, self._runtime.taker = watch, take
        self._runtime.attention_watcher = attend if attention and len(inside) else None

    def frame(self, layer: int, ends: Tensor, evidence: tuple[int, ...]) -> Frame:
        """A layer's rows."""
        parts = self._parts[layer]
        attention = torch.cat(parts["attention"]) if parts["attention"] else None
        return Frame(
            layer,
            torch.cat(parts["q"]),
            self.keys[layer],
            torch.cat(parts["weights"]).float(),
            ends,
            attention,
            evidence,
            used=_stacked(parts["used"]) if parts["used"] else None,
        )


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """Selections of several chunks as one `[R, W]`, the narrower ones filled up with −1."""
    width = max(one.shape[1] for one in parts)
    return torch.cat([torch.nn.functional.pad(one, (0, width - one.shape[1]), value=-1) for one in parts])


def _dense(q: Tensor, latents: Tensor, ends: Tensor, scale: float) -> Tensor:
    """Dense attention of rows, mean over heads.

    Args:
        q: `[R, H, r + rope]`.
        latents: Latents with rotated keys `[T, r + rope]`.
        ends: One past each row's last visible key `[R]`.
        scale: Softmax scale.

    Returns:
        `[R, T]` f32, 0 where invisible.
    """
    hidden = torch.arange(latents.shape[0], device=q.device) >= ends[:, None]
    total = torch.zeros(hidden.shape, device=q.device)
    for head in q.unbind(1):
        scores = (head @ latents.T).float() * scale
        total += scores.masked_fill_(hidden, -torch.inf).softmax(-1)
    return total / q.shape[1]
