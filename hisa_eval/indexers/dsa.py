"""Flat DSA: every visible key is scored, the best k are kept."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hisa_eval.indexers.configured import ConfiguredIndexer
from hisa_eval.indexers.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from hisa_eval.indexers.base import IndexerState, NewestSelector


class DsaOptions(Options):
    """DSA has nothing to set."""


class DsaIndexer(ConfiguredIndexer):
    """Score every visible key and keep the best k: the flat indexer that the others are compared with.

    Source: arXiv 2603.28458, equations 1 and 2.
    """

    name = "dsa"
    Options = DsaOptions

    def exact_below(self, topk: int) -> int:
        """Always: DSA is its own definition."""
        return sys.maxsize

    def scored_keys(self, visible: int, topk: int, heads: int) -> float | None:
        """Every visible key."""
        return float(visible)

    def select(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        starts: Tensor,
        ends: Tensor,
        topk: int,
        *,
        k_scale: Tensor | None = None,
        state: IndexerState | None = None,
    ) -> Tensor:
        """The best k visible keys of each row; see `hisa_eval.indexers.base.Indexer.select`."""
        from hisa_eval.indexers.validate import validate_inputs
        from hisa_kernels import select_flat

        validate_inputs(q, k, weights, starts, ends, topk, k_scale=k_scale)
        return select_flat(q, k, weights, starts, ends, topk, k_scale=k_scale)

    def newest(self, k: Tensor, heads: int, topk: int, ends: tuple[int, int]) -> NewestSelector:
        """Selects for the newest token; see `hisa_eval.indexers.newest`."""
        from hisa_kernels.newest import NewestFlat

        return NewestFlat(k, heads, topk, ends=ends)
