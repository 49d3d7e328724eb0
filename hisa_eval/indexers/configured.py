"""The part that every built-in indexer shares: options, label, settings. Outside indexers may use it too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from hisa_eval.errors import UserError
from hisa_eval.indexers.options import build_options, make_label

if TYPE_CHECKING:
    from torch import Tensor

    from hisa_eval.indexers.base import IndexerState


class InfeasibleBudgetError(UserError, ValueError):
    """The indexer's options cannot give k tokens; a `ValueError` to callers, one line to people."""


class ConfiguredIndexer(ABC):
    """An indexer with a validated options model.

    A subclass sets `name` and `Options` and writes `exact_below` and `select`.

    Args:
        **options: Fields of `Options`.

    Raises:
        UserError: an option is unknown, or a value is not one it takes.
    """

    name: str
    Options: ClassVar[type[BaseModel]]
    selects_exactly_k: ClassVar[bool] = True
    """Whether each row gets exactly min(k, visible) keys, the law of token-level indexers."""

    def __init__(self, **options: Any) -> None:
        self.options = build_options(self.name, self.Options, options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label}>"

    @property
    def label(self) -> str:
        """Name with every option that differs from its default."""
        return make_label(self.name, self.options)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every option with its value, JSON types only."""
        return self.options.model_dump(mode="json")

    def check_budget(self, topk: int) -> None:
        """Refuse options that cannot give `topk` tokens, before anything is loaded.

        Args:
            topk: Token budget k, at least 1.

        Raises:
            InfeasibleBudgetError: they cannot.
        """
        if topk < 1:
            raise InfeasibleBudgetError(f"{self.name}: k = {topk} is no budget", "give a k of at least 1")

    def new_state(self) -> IndexerState | None:
        """A fresh state for one sequence, or None where nothing is remembered."""
        return None

    def scored_keys(self, visible: int, topk: int, heads: int) -> float | None:
        """Vectors of D numbers that all heads of a query are multiplied with: what a selection costs.

        Args:
            visible: Keys that the query sees.
            topk: Token budget k.
            heads: Index heads H.

        Returns:
            The number, an upper bound where it depends on the data; None where it is not known.
        """
        return None

    @abstractmethod
    def exact_below(self, topk: int) -> int:
        """Rows with at most this many visible keys get flat DSA's own selection by construction."""

    @abstractmethod
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
        """The keys that each query attends to; see `hisa_eval.indexers.base.Indexer.select`."""
