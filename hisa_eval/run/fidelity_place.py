"""One context of a comparison, and what every source of contexts gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from hisa_eval.fidelity.frame import Frame


class Place(NamedTuple):
    """One context.

    Attributes:
        task: Kind of inputs, as in records: `fidelity/niah`, `fidelity/synthetic/NAME`, `fidelity/dump/NAME`.
        length: In tokens.
        depth: Of the needle in per cent; None where there is none.
        sample: Counts from 0.
    """

    task: str
    length: int
    depth: float | None
    sample: int


class Source(Protocol):
    """Where contexts come from."""

    topk: int
    """Token budget k of the inputs' own model, 2048 where there is none."""

    @property
    def places(self) -> list[Place]:
        """Every context once, short ones first."""
        ...

    def facts(self, place: Place) -> Mapping[str, Any]:
        """What a record says of the context: at least `sample_id`, `prompt_sha256`, `n_prompt_tokens`."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """All that decides the inputs beside a place's own facts; JSON types only."""
        ...

    def describe(self) -> Mapping[str, Any] | None:
        """The model, for the manifest; None where there is none."""
        ...

    def open(self) -> None:
        """Load what is needed before frames can be made."""
        ...

    def frames(self, place: Place) -> list[Frame]:
        """The layers of a context."""
        ...
