"""The indexer of a server, which runs over there: a name that the user vouches for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hisa_eval.errors import UserError

UNATTESTED = "unattested"


class ClaimedIndexer:
    """Stands in tables and keys for the indexer that a server is said to run; cannot select.

    Args:
        claim: As `hisa` or `hisa:ratio=4`; None where nothing is claimed.
    """

    name = "server"

    def __init__(self, claim: str | None) -> None:
        self.claim = claim

    @property
    def label(self) -> str:
        """`claimed-<name>`, or `unattested`."""
        return UNATTESTED if self.claim is None else f"claimed-{self.claim}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The claim."""
        return {"claimed": self.claim}

    def exact_below(self, topk: int) -> int:
        """Nothing is known."""
        return 0

    def new_state(self) -> None:
        """Nothing is remembered."""

    def select(self, *_inputs: Any, **_options: Any) -> Any:
        """Refused: the server selects."""
        raise RuntimeError("the indexer runs on the server")


def parse_label(text: str | None) -> ClaimedIndexer:
    """The indexer named by `--label indexer=NAME`.

    Raises:
        UserError: written otherwise.
    """
    if text is None:
        return ClaimedIndexer(None)
    key, equals, value = text.partition("=")
    if key.strip() != "indexer" or not equals or not value.strip():
        raise UserError(f"--label {text!r} is not indexer=NAME", "write --label indexer=hisa")
    return ClaimedIndexer(value.strip())
