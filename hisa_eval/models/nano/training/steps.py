"""One optimiser step, on a GPU as a CUDA graph.

A model this small waits longer for launches than for arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hisa_eval.models.nano.training.attention import Losses, TrainingContext, hidden_states
from hisa_eval.models.nano.training.language import language_loss
from hisa_eval.models.nano.training.stages import Stage

_EAGER_STEPS = 2
"""Steps of a kind before its graph is recorded: libraries take their workspaces, the optimiser its state."""


@dataclass
class Outcome:
    """What a step measured: scalars by name, counts by kind `[2, N]`, and per layer the indexer's figures."""

    parts: dict[str, Tensor]
    kinds: Tensor
    kl: Tensor
    mass: Tensor
    block: Tensor


@dataclass
class _Recorded:
    """A kind of step: its inputs at fixed places, then its graph and where that leaves its results."""

    ids: Tensor
    classes: Tensor
    rows: Tensor
    eager: int = 0
    graph: Any = None
    outcome: Outcome | None = None


@dataclass
class Stepper:
    """Takes optimiser steps of one training.

    Attributes:
        model: From `build_training_model`.
        context: Of that model.
        optimizer: Of its parameters; where graphs are used its learning rates are tensors on the device.
        device: `"cuda"` or `"cpu"`.
        graphs: Record each kind of step as a CUDA graph once it has run a few times.
    """

    model: Any
    context: TrainingContext
    optimizer: torch.optim.Optimizer
    device: str
    graphs: bool
    _kinds: dict[tuple[Stage, int | None, bool], _Recorded] = field(default_factory=dict)
    _groups: tuple[list[nn.Parameter], list[nn.Parameter]] = field(init=False)
    _stream: Any = None
    _pool: Any = None

    def __post_init__(self) -> None:
        # Backbone and indexer, whose gradients are clipped apart.
        named = list(self.model.named_parameters())
        self._groups = (
            [p for n, p in named if ".indexer." not in n],
            [p for n, p in named if ".indexer." in n],
        )

    def set_rate(self, rate: float) -> None:
        """Learning rate of the next steps."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def step(
        self,
        stage: Stage,
        ids: Tensor,
        classes: Tensor,
        rows: Tensor,
        topk: int | None,
        indexer_only: bool,
    ) -> Outcome:
        """One step on a batch; what it returns holds until the next step.

        Args:
            stage: Whose losses are taken.
            ids: Token ids `[B, S]` int64.
            classes: Target classes `[B, S]` uint8.
            rows: Query rows `[B, R]` at which the indexer learns.
            topk: Token budget, None for dense attention.
            indexer_only: Whether the backbone is frozen.
        """
        if not self.graphs:
            return self._update(stage, ids, classes, rows, topk, indexer_only)
        if self._stream is None:
            self._stream, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
        key = (stage, topk, indexer_only)
        if key not in self._kinds:
            self._kinds[key] = _Recorded(ids.clone(), classes.clone(), rows.clone())
        kind = self._kinds[key]
        kind.ids.copy_(ids)
        kind.classes.copy_(classes)
        kind.rows.copy_(rows)
        given = (stage, kind.ids, kind.classes, kind.rows, topk, indexer_only)
        if kind.graph is None and kind.eager < _EAGER_STEPS:
            kind.eager += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                outcome = self._update(*given)
            torch.cuda.current_stream().wait_stream(self._stream)
            return outcome
        if kind.graph is None:
            self.optimizer.zero_grad(set_to_none=True)
            torch.cuda.synchronize()
            kind.graph = torch.cuda.CUDAGraph()
            # Only this thread is held to the rules of a capture: the loader's pins memory meanwhile.
            recording = torch.cuda.graph(
                kind.graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            )
            with recording:
                kind.outcome = self._update(*given)
        kind.graph.replay()
        assert kind.outcome is not None
        return kind.outcome

    def _update(
        self,
        stage: Stage,
        ids: Tensor,
        classes: Tensor,
        rows: Tensor,
        topk: int | None,
        indexer_only: bool,
    ) -> Outcome:
        context = self.context
        context.losses = Losses()
        context.rows, context.topk = rows, topk
        context.block_sizes, context.through = stage.block_sizes, stage.through
        self.optimizer.zero_grad(set_to_none=True)
        # A graph may not hold casts that autocast made for another one.
        with torch.autocast(self.device, dtype=torch.bfloat16, cache_enabled=not self.graphs):
            hidden = hidden_states(self.model, ids)
            loss, parts = language_loss(self.model, hidden, ids, classes)
        losses = context.losses
        kl = torch.stack(losses.kl)
        total = kl.sum() if indexer_only else loss + kl.sum()
        block = torch.stack(losses.block) if losses.block else kl.new_zeros(0)
        if losses.block:
            total = total + block.sum() / len(stage.block_sizes)
        total.backward()
        for members in self._groups:
            nn.utils.clip_grad_norm_([p for p in members if p.requires_grad], 1.0)
        self.optimizer.step()
        context.losses = Losses()
        kinds = parts.pop("kinds")
        return Outcome(parts, kinds, kl.detach(), torch.stack(losses.mass).detach(), block.detach())
