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


PLAIN: tuple[Stage, ...] = (
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
    Stage(32768, 1, 150, (1e-4, 1e-5), 96, budgets=(1024, 2048), mini=0.2),
)
"""DeepSeek's recipe: the indexer learns by KL under dense attention, then both under the selection."""

MINI: tuple[Stage, ...] = (
    Stage(1024, 48, 400, (8e-4, 8e-4), 16, mini=0.5, rows=24),
    Stage(4096, 12, 500, (8e-4, 6e-4), 32, mini=0.45, rows=32),
    Stage(16384, 4, 500, (6e-4, 5e-4), 64, mini=0.35),
    Stage(65536, 1, 180, (5e-4, 3e-4), 96, mini=0.1),
    Stage(131072, 1, 100, (3e-4, 1.5e-4), 160),
    Stage(16384, 2, 180, (1.5e-4, 2e-5), 64, budgets=(1024, 2048), mini=0.25),
)
"""Teaches a finished plain checkpoint the `mini` suite's kinds of question, needles mixed in."""

_BLOCKS = (32, 64, 128)

HIERARCHICAL: tuple[Stage, ...] = (
    Stage(8192, 6, 400, (8e-4, 8e-4), 48, mini=0.3, rows=96, block_sizes=_BLOCKS, through=True),
    Stage(32768, 1, 350, (6e-4, 5e-4), 64, mini=0.3, rows=96, block_sizes=_BLOCKS, through=True),
    Stage(
        8192,
        4,
        150,
        (4e-4, 4e-4),
        48,
        budgets=(256, 512, 1024),
        mini=0.3,
        rows=96,
        block_sizes=_BLOCKS,
        through=True,
    ),
    Stage(131072, 1, 130, (4e-4, 1.5e-4), 128, rows=96, block_sizes=_BLOCKS, through=True),
    Stage(
        16384,
        2,
        150,
        (1.5e-4, 2e-5),
        64,
        budgets=(1024, 2048),
        mini=0.3,
        rows=96,
        block_sizes=_BLOCKS,
        through=True,
    ),
)
"""Trains a finished plain checkpoint on with a block-level loss that reaches the backbone too."""

SMOKE: tuple[Stage, ...] = (
    Stage(128, 4, 3, (1e-3, 1e-3), 4, rows=8),
    Stage(256, 2, 2, (1e-3, 1e-3), 4, budgets=(64,), mini=1.0, rows=8),
    Stage(256, 2, 2, (1e-3, 1e-3), 4, rows=8, block_sizes=(16,), indexer_only=True),
    Stage(256, 2, 2, (1e-3, 1e-3), 4, rows=8, block_sizes=(16,), through=True),
)
"""Four tiny stages that touch every code path; for tests."""

RECIPES: dict[str, tuple[Stage, ...]] = {"plain": PLAIN, "mini": MINI, "hier": HIERARCHICAL, "smoke": SMOKE}
