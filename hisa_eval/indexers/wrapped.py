"""What wrappers over any indexer share: whom they wrap, and a memory that reaches past one call.

A wrapper takes selections over from elsewhere, so a row's selection depends on more than its own queries and
keys. That memory is handed out for a whole sequence by `new_states` alone. Without it (`new_state`, or no
state) a wrapper selects exactly as the indexer that it wraps, and so it is bound by all laws there.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from hisa_eval.errors import UserError
from hisa_eval.indexers.configured import ConfiguredIndexer
from hisa_eval.indexers.options import Options

if TYPE_CHECKING:
    from hisa_eval.indexers.base import Indexer, IndexerState


def unfold(text: str) -> Indexer:
    """The indexer that `hisa/block_size=64/num_blocks=64` names: slashes where its own spec has `:` and `,`.

    Raises:
        UserError: as `hisa_eval.indexers.registry.parse`.
    """
    from hisa_eval.indexers.registry import parse

    name, *options = text.split("/")
    return parse(f"{name}:{','.join(options)}" if options else name)


def _folded(text: str) -> str:
    """The one way to write it, defaults left out."""
    return unfold(text).label.replace(":", "/").replace(",", "/")


class WrapperOptions(Options):
    """Options of every wrapper."""

    over: Annotated[str, AfterValidator(_folded)] = Field(
        default="dsa",
        description="The indexer that is wrapped, with slashes: hisa/block_size=64/num_blocks=64.",
    )


class WrappedIndexer(ConfiguredIndexer):
    """An indexer that lets another one select, now and then.

    Raises:
        UserError: as `ConfiguredIndexer`, or what is wrapped is a wrapper or selects whole blocks.
    """

    options: WrapperOptions
    takes_over_from: ClassVar[Literal["layers", "steps"]] = "steps"
    """Where selections come from: the layers before, which rows of a prefill show too, or the steps before,
    which only an answer shows."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inner = unfold(self.options.over)
        if isinstance(self.inner, WrappedIndexer) or not getattr(self.inner, "selects_exactly_k", True):
            what = "a wrapper" if isinstance(self.inner, WrappedIndexer) else "no token-level indexer"
            raise UserError(
                f"{self.name}: over={self.options.over} is {what}", "wrap dsa, hisa or their like"
            )

    def check_budget(self, topk: int) -> None:
        """As the indexer that is wrapped.

        Raises:
            InfeasibleBudgetError: its options cannot give `topk` tokens.
        """
        super().check_budget(topk)
        check = getattr(self.inner, "check_budget", None)
        if check is not None:
            check(topk)

    def exact_below(self, topk: int) -> int:
        """k: where a row sees no more, every selection is all that it sees, whoever made it."""
        return min(topk, self.inner.exact_below(topk))

    def least_selected(self, visible: int, topk: int) -> int:
        """Fewest keys that a row may get: those of the indexer that is wrapped."""
        own = getattr(self.inner, "least_selected", None)
        return int(own(visible, topk)) if own is not None else min(topk, visible)

    def keys_of_inner(self, visible: int, topk: int, heads: int) -> float | None:
        """`scored_keys` of the indexer that is wrapped; None where it does not say."""
        return scored_keys_of(self.inner, visible, topk, heads, 1)

    def new_state(self) -> IndexerState | None:
        """A state of the indexer that is wrapped: nothing is taken over with it."""
        return self.inner.new_state()

    @abstractmethod
    def new_states(self, n_layers: int) -> list[IndexerState]:
        """States of one sequence, one a layer, with which selections are taken over.

        Args:
            n_layers: Layers of the model.
        """


def taken_over_from(indexer: Indexer) -> Literal["layers", "steps"] | None:
    """Where an indexer's selections come from, see `WrappedIndexer`; None where from its own inputs alone."""
    found: Literal["layers", "steps"] | None = getattr(indexer, "takes_over_from", None)
    return found


def states_of(indexer: Indexer, n_layers: int) -> list[IndexerState | None]:
    """Fresh states of one sequence, one a layer, from whichever of the two methods an indexer has.

    Args:
        indexer: Who selects.
        n_layers: Layers of the model.
    """
    if isinstance(indexer, WrappedIndexer):
        return list(indexer.new_states(n_layers))
    return [indexer.new_state() for _ in range(n_layers)]


def scored_keys_of(indexer: Indexer, visible: int, topk: int, heads: int, n_layers: int) -> float | None:
    """Vectors that a query is scored against, mean over layers, from whichever of two methods an indexer has.

    Args:
        indexer: Who selects.
        visible: Keys that the query sees.
        topk: Token budget k.
        heads: Index heads H.
        n_layers: Layers of the model.

    Returns:
        The number, see `ConfiguredIndexer.scored_keys`; None where the indexer does not say.
    """
    over_layers = getattr(indexer, "scored_keys_over_layers", None)
    if over_layers is not None:
        found = over_layers(visible, topk, heads, n_layers)
    else:
        own = getattr(indexer, "scored_keys", None)
        found = None if own is None else own(visible, topk, heads)
    return None if found is None else float(found)
