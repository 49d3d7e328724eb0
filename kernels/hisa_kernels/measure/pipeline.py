"""A contestant: a way to choose tokens, cut into named stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple


class Unavailable(Exception):  # noqa: N818 - not an error: the row says so and the run goes on
    """A contestant cannot take part here; the message says why."""


class Stage(NamedTuple):
    """One step.

    Attributes:
        name: As `Case.work` knows it, where it does.
        run: Reads and writes the fields of the state that all stages of one pass share. The last stage
            leaves `indices` `[M, k]` (absolute positions, −1 where empty, any order), or attention's `out`;
            a stage that chooses blocks leaves `blocks` `[M, W]` (numbers relative to the row's start).
    """

    name: str
    run: Callable[[SimpleNamespace], None]


@dataclass(frozen=True)
class Contestant:
    """A method under test.

    Attributes:
        name: In tables.
        family: `"flat"`, `"hisa"`, `"attention"`, `"decode flat"` or `"decode hisa"`.
        prepare: Gives the stages for the inputs of a case; raises `Unavailable` where it cannot.
        block_tolerance: What counts as a tie of block scores, in standard deviations of a row's: what the
            method's own precision of pooled keys and block scores costs.
        every_case: Whether it compiles again for every case.
    """

    name: str
    family: str
    prepare: Callable[[Any], Sequence[Stage]]
    block_tolerance: float = 5e-3
    every_case: bool = False

    @property
    def kind(self) -> str:
        """The kind of case that it takes part in."""
        first = self.family.partition(" ")[0]
        return first if first in ("attention", "decode") else "selection"

    @property
    def chooses_blocks(self) -> bool:
        """Whether a budget of blocks matters to it."""
        return self.family.endswith("hisa")


def run_pass(stages: Sequence[Stage]) -> SimpleNamespace:
    """All stages once; the state they leave."""
    state = SimpleNamespace()
    for stage in stages:
        stage.run(state)
    return state
