"""Streams batches of training sequences from worker processes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from hisa_eval.models.nano.training.sequences import Sequence, build_repeats, build_sequence
from hisa_eval.models.nano.training.stages import Stage
from hisa_eval.models.nano.training.text import read_library


class SequenceStream(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless batches `(ids [B, S] int64, classes [B, S] uint8)` of one stage.

    Args:
        stage: What to make.
        seed: With the worker's number, decides every byte.
    """

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._seed = seed

    def _one(self, rng: random.Random) -> Sequence:
        if rng.random() < self._stage.repeats:
            return build_repeats(self._stage.length, rng)
        return build_sequence(self._stage.length, self._stage.questions, rng, self._stage.mini)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        rng = random.Random(
            f"{self._seed}/{self._stage.name}/{self._stage.steps}/{worker.id if worker else 0}"
        )
        while True:
            made = [self._one(rng) for _ in range(self._stage.batch)]
            yield (
                torch.from_numpy(np.stack([s.ids for s in made])),
                torch.from_numpy(np.stack([s.classes for s in made])),
            )


def batches(stage: Stage, seed: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of `stage`, made ahead by `workers` processes (in this process where 0)."""
    read_library()  # Once for all stages: workers are copies of this process.
    loader = DataLoader(
        SequenceStream(stage, seed),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=6 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)
