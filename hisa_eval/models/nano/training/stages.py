"""The curriculum: lengths, batch sizes, steps and learning rates of each recipe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one sequence length.

    Attributes:
        length: Tokens a sequence.
        batch: Sequences a step.
        steps: Optimiser steps.
        lr: Learning rates at the first and the last step (geometric in between).
        questions: Questions a sequence.
        budgets: Token budgets drawn from in a sparse stage; empty trains with dense attention.
        rows: Query rows a sequence at which the indexer learns.
        block_sizes: Block sizes whose block scores are trained too.
        repeats: Share of the sequences that are repeated strings and nothing else.
        mini: Share of the other sequences that ask the `mini` suite's kinds of question.
        indexer_only: Whether the backbone is frozen.
        through: Whether the indexer's losses reach the backbone too; in DeepSeek's recipe they never do.
    """

    length: int
    batch: int
    steps: int
    lr: tuple[float, float]
    questions: int
    budgets: tuple[int, ...] = ()
    rows: int = 64
    block_sizes: tuple[int, ...] = ()
    repeats: float = 0.0
    mini: float = 0.0
    indexer_only: bool = False
    through: bool = False

    @property
    def name(self) -> str:
        """Short name for logs, e.g. `"8192-sparse"`."""
        return f"{self.length}{'-sparse' if self.budgets else ''}"


@dataclass(frozen=True)
class Mixture:
    """Stages whose steps alternate at random, so that no length is unlearnt while another is trained.

    Attributes:
        parts: The stages; their own learning rates are not used.
        lr: Learning rates at the first and the last step (geometric in between).
        average: Decay of a moving average of the weights, which the stage ends with; 0 for none.
    """

    parts: tuple[Stage, ...]
    lr: tuple[float, float]
    average: float = 0.0

    @property
    def steps(self) -> int:
        """Steps of all parts together."""
        return sum(part.steps for part in self.parts)

    @property
    def indexer_only(self) -> bool:
        """Whether the backbone is frozen: where it is in all parts."""
        return all(part.indexer_only for part in self.parts)

    @property
    def name(self) -> str:
        """Short name for logs."""
        return "mixture"


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is trained.

    Attributes:
        layers: Decoder layers of the model.
        stages: In their order.
    """

    layers: int
    stages: tuple[Stage | Mixture, ...]


_ANY = (1e-3, 1e-3)  # Learning rates of a mixture's parts, which have no say.

PLAIN = Recipe(
    3,
    (
        Stage(128, 256, 600, (2e-3, 2e-3), 4, repeats=1.0, rows=16),
        Stage(256, 128, 600, (2e-3, 2e-3), 8, repeats=0.4, rows=32),
        Stage(512, 64, 600, (2e-3, 2e-3), 12, repeats=0.1, rows=24),
        Stage(1024, 64, 1000, (2e-3, 1.5e-3), 16, repeats=0.1, rows=24),
        Stage(2048, 48, 1300, (1.5e-3, 1.5e-3), 24, rows=16),
        Stage(4096, 32, 1700, (1.5e-3, 8e-4), 48, rows=24),
        Stage(16384, 6, 1400, (8e-4, 6e-4), 64),
        Stage(8192, 4, 250, (6e-4, 6e-4), 48, budgets=(256, 512, 1024)),
        Mixture(
            (
                Stage(1024, 64, 300, _ANY, 16, rows=24),
                Stage(4096, 32, 1400, _ANY, 48, rows=24),
                Stage(16384, 6, 1600, _ANY, 64),
                Stage(65536, 1, 750, _ANY, 128),
                Stage(131072, 1, 220, _ANY, 160),
                Stage(8192, 4, 250, _ANY, 48, budgets=(512, 1024, 2048)),
                Stage(32768, 1, 110, _ANY, 96, budgets=(1024, 2048)),
            ),
            lr=(7e-4, 1e-5),
            average=0.995,
        ),
        Stage(32768, 1, 60, (1e-5, 5e-6), 96, budgets=(1024, 2048)),
    ),
)
"""DeepSeek's recipe: the indexer learns by KL under dense attention, then both under the selection."""

MINI = Recipe(
    2,
    (
        Stage(128, 256, 500, (2e-3, 2e-3), 4, repeats=1.0, rows=16),
        Stage(256, 128, 400, (2e-3, 2e-3), 8, repeats=0.4, rows=32),
        Stage(512, 64, 600, (2e-3, 2e-3), 12, repeats=0.1, mini=0.5, rows=24),
        Stage(1024, 32, 700, (2e-3, 1.5e-3), 16, repeats=0.1, mini=0.35, rows=32),
        Stage(2048, 48, 900, (1.5e-3, 1.5e-3), 24, mini=0.35, rows=16),
        Stage(4096, 32, 1100, (1.5e-3, 8e-4), 48, mini=0.3, rows=24),
        Stage(16384, 4, 1300, (8e-4, 5e-4), 64, mini=0.25),
        Stage(8192, 4, 350, (5e-4, 5e-4), 48, budgets=(256, 512, 1024), mini=0.25),
        Stage(65536, 1, 450, (5e-4, 3e-4), 128, mini=0.1),
        Stage(131072, 1, 380, (3e-4, 1e-4), 160),
        Mixture(
            (
                Stage(1024, 48, 300, _ANY, 16, mini=0.6, rows=24),
                Stage(4096, 32, 450, _ANY, 48, mini=0.4, rows=24),
                Stage(16384, 4, 1400, _ANY, 64, mini=0.3),
                Stage(65536, 1, 700, _ANY, 128, mini=0.1),
                Stage(131072, 1, 230, _ANY, 160),
                Stage(8192, 4, 400, _ANY, 48, budgets=(256, 512, 1024), mini=0.3),
                Stage(32768, 1, 100, _ANY, 96, budgets=(1024, 2048), mini=0.2),
            ),
            lr=(6e-4, 2e-5),
            average=0.995,
        ),
        Stage(32768, 1, 90, (2e-5, 5e-6), 96, budgets=(1024, 2048), mini=0.2),
    ),
)
"""The same with the `mini` suite's kinds of question among the sequences."""

_BLOCKS = (32, 64, 128)


def _hierarchical(
    length: int, batch: int, steps: int, questions: int, budgets: tuple[int, ...] = ()
) -> Stage:
    return Stage(
        length,
        batch,
        steps,
        _ANY,
        questions,
        budgets=budgets,
        rows=96,
        block_sizes=_BLOCKS,
        through=True,
    )


HIERARCHICAL = Recipe(
    3,
    (
        Mixture(
            (
                _hierarchical(8192, 6, 400, 48),
                _hierarchical(32768, 1, 350, 64),
                _hierarchical(131072, 1, 120, 128),
                _hierarchical(8192, 4, 150, 48, budgets=(256, 512, 1024)),
                _hierarchical(16384, 2, 150, 64, budgets=(1024, 2048)),
            ),
            lr=(8e-4, 2e-5),
            average=0.99,
        ),
    ),
)
"""Trains a finished plain checkpoint on with a block-level loss that reaches the backbone too."""

SMOKE = Recipe(
    2,
    (
        Stage(128, 4, 5, (1e-3, 1e-3), 4, rows=8),
        Stage(256, 2, 4, (1e-3, 1e-3), 4, budgets=(64,), mini=1.0, rows=8),
        Stage(256, 2, 2, (1e-3, 1e-3), 4, rows=8, block_sizes=(16,), indexer_only=True),
        Stage(256, 2, 2, (1e-3, 1e-3), 4, rows=8, block_sizes=(16,), through=True),
        Mixture(
            (Stage(128, 2, 2, _ANY, 4, rows=8), Stage(256, 2, 1, _ANY, 4, budgets=(64,), rows=8)),
            lr=(1e-3, 1e-4),
            average=0.5,
        ),
    ),
)
"""Five tiny stages that touch every code path; for tests."""

RECIPES: dict[str, Recipe] = {"plain": PLAIN, "hier": HIERARCHICAL, "mini": MINI, "smoke": SMOKE}
