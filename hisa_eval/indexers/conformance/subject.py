"""An indexer under test, with a budget it accepts and the lengths at which indexers go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from hypothesis import strategies as st

from hisa_eval.errors import UserError
from hisa_eval.indexers.base import Indexer
from hisa_eval.indexers.conformance.cases import Case, Packed, Values, make_case, settings_of
from hisa_eval.indexers.conformance.rejections import refusal
from hisa_eval.indexers.registry import available, parse, parse_list

LONGEST = 40_000
"""Edges beyond this many keys are left out: every law below them is the same."""


@dataclass(frozen=True)
class Subject:
    """An indexer under test.

    Attributes:
        indexer: The indexer.
        topk: Token budget k of every case.
        device: Torch device of every case.
        dtype: Of queries and keys where a law does not name one.
    """

    indexer: Indexer
    topk: int
    device: str = "cpu"
    dtype: torch.dtype = torch.float32

    @cached_property
    def edges(self) -> list[int]:
        """Visible counts around 1, k and the exactness bound, ascending."""
        bound = self.indexer.exact_below(self.topk)
        around = {1, 2, self.topk - 1, self.topk, self.topk + 1}
        if bound <= LONGEST:
            around |= {bound - 1, bound, bound + 1}
        return sorted(count for count in around if count > 0)

    @cached_property
    def pruned(self) -> int:
        """A length at which the indexer has to leave keys out, and no multiple of its block size."""
        block = settings_of(self.indexer, "block_size", 16)
        return self.edges[-1] + 5 * max(block, 2) + 1

    def case(self, sequences: Sequence[Packed | tuple[int, Sequence[int]]], **how: Any) -> Case:
        """`make_case` with this subject's budget, device and dtype."""
        return make_case(sequences, self.topk, device=self.device, **{"dtype": self.dtype, **how})

    def one(self, visible: Sequence[int], length: int | None = None, **how: Any) -> Case:
        """One sequence at position 0, asked by a query for each visible count."""
        return self.case([(max(visible) if length is None else length, tuple(visible))], **how)

    def packs(self, values: Values, **how: Any) -> st.SearchStrategy[Case]:
        """Packed batches of one to three sequences, with lengths and visible counts near the edges."""
        length = st.builds(
            lambda at, off: max(at + off, 1), st.sampled_from([*self.edges, self.pruned]), st.integers(-2, 2)
        )
        packed = length.flatmap(
            lambda n: st.builds(
                Packed,
                st.just(n),
                st.lists(st.integers(0, n) | st.just(n), min_size=1, max_size=3).map(tuple),
            )
        )
        return st.builds(
            lambda sequences, gap, seed: self.case(sequences, gap=gap, seed=seed, values=values, **how),
            st.lists(packed, min_size=1, max_size=3),
            st.integers(0, 5),
            st.integers(0, 2**16),
        )

    def histories(self) -> st.SearchStrategy[list[int]]:
        """Lengths that one sequence takes on: chunks of any size, single tokens, truncations."""
        step = st.integers(0, self.pruned) | st.integers(1, 3).map(lambda by: -by)

        def walk(steps: list[int]) -> list[int]:
            lengths = [min(self.topk + 1, self.pruned)]
            for each in steps:
                # A negative number extends by that many tokens, as decoding does; others jump.
                lengths.append(min(lengths[-1] - each, self.pruned) if each < 0 else each)
            return lengths

        return st.lists(step, min_size=1, max_size=8).map(walk)


def subjects(
    specs: list[str] | None, topk: int | None, device: str = "cpu", dtype: str = "f32"
) -> list[Subject]:
    """The indexers to test.

    Args:
        specs: What `--indexer` gave; None for every registered indexer.
        topk: What `--indexer-topk` gave.
        device: What `--indexer-device` gave.
        dtype: What `--indexer-dtype` gave.

    Raises:
        UserError: an indexer, budget or device is not there.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {device!r} cannot be used: {reason}", "use --indexer-device cpu") from error
    found = [parse(name) for name in available()] if not specs else [i for s in specs for i in parse_list(s)]
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    return [Subject(indexer, _budget(indexer, topk), device, kind) for indexer in found]


def _budget(indexer: Indexer, topk: int | None) -> int:
    tried = [topk] if topk is not None else [1 << power for power in range(3, 15)]
    for each in tried:
        error = refusal(indexer, each)
        if error is None:
            return each
    raise UserError(
        f"{indexer.label} refuses k = {tried[-1]}: {error}", "pass --indexer-topk with a k it takes"
    )
