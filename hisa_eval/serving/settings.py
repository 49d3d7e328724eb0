"""What the plug-in is asked for, read from the environment; torch is not imported here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from hisa_eval.errors import UserError
from hisa_eval.indexers.base import Indexer
from hisa_eval.indexers.blocks import BlockIndexer
from hisa_eval.indexers.registry import parse

INDEXER = "HISA_EVAL_INDEXER"
"""Environment variable: who selects, e.g. `hisa:block_size=128,num_blocks=64`; unset, nothing is done."""

TOPK = "HISA_EVAL_TOPK"
"""Environment variable: token budget k of the model (`index_topk` of its config.json)."""

ATTEST = "HISA_EVAL_ATTEST"
"""Environment variable: folder in which every engine process states what ran, one JSON file each."""

DEFAULT_TOPK = 2048
"""`index_topk` of DeepSeek-V3.2 and GLM-5."""

SERVED = ("dsa", "hisa", "block-sparse")


@dataclass(frozen=True)
class Serving:
    """Who selects in the engine.

    Attributes:
        indexer: The indexer; None of its own state is used.
        topk: Token budget k.
        attest: Folder of attestations, if any.
    """

    indexer: Indexer
    topk: int
    attest: str | None = None

    @property
    def blocks(self) -> BlockIndexer | None:
        """The indexer where it chooses blocks; None for flat DSA, whose scores stay as they are."""
        return self.indexer if isinstance(self.indexer, BlockIndexer) else None

    @property
    def may_fall_short(self) -> bool:
        """Whether a row's candidates may be fewer than k, so that the engine's top-k would take others.

        The newest block, of which a row sees one token at the least, may be among the m.
        """
        if self.blocks is None:
            return False
        size = self.blocks.options.block_size
        return (self.blocks.least_blocks(self.topk) - 1) * size + 1 < self.topk


def serving(spec: str, topk: int, attest: str | None = None) -> Serving:
    """Settings of the plug-in, checked.

    Args:
        spec: Indexer with options inline.
        topk: Token budget k.
        attest: Folder of attestations.

    Raises:
        UserError: the indexer is unknown or not one that the plug-in serves, an option cannot be served, or
            its blocks cannot hold k tokens.
    """
    indexer = parse(spec)
    if indexer.name not in SERVED:
        raise UserError(f"{indexer.name} cannot select inside vLLM", f"choose one of {', '.join(SERVED)}")
    if isinstance(indexer, BlockIndexer):
        _check_options(indexer)
        indexer.check_budget(topk)
        held = indexer.least_blocks(topk) * indexer.options.block_size
        if not indexer.selects_exactly_k and held > topk:
            raise UserError(
                f"{indexer.label} selects up to {held} keys but the model's attention reads {topk}",
                "lower num_blocks, or leave it out",
            )
    elif topk < 1:
        raise UserError(f"k = {topk} is no budget", "give a k of at least 1")
    return Serving(indexer, topk, attest or None)


def from_environment(environment: Mapping[str, str] | None = None) -> Serving | None:
    """What the environment asks for, or None where it asks for nothing.

    Args:
        environment: Variables; those of this process by default.

    Raises:
        UserError: as `serving`, or k is no number.
    """
    variables = os.environ if environment is None else environment
    spec = variables.get(INDEXER, "").strip()
    if not spec:
        return None
    k = variables.get(TOPK, str(DEFAULT_TOPK)).strip()
    if not k.isdecimal():
        raise UserError(
            f"{TOPK} is {k!r}, no number", f"set it to index_topk of the model, {DEFAULT_TOPK} say"
        )
    return serving(spec, int(k), variables.get(ATTEST))


def _check_options(indexer: BlockIndexer) -> None:
    """Refuses what a decode step of fixed shapes cannot do."""
    options = indexer.options
    wanted = {"ratio": None, "forced_in_budget": True, "block_score_dtype": "f32"}
    for name, value in wanted.items():
        if getattr(options, name) != value:
            raise UserError(
                f"{indexer.label} cannot select inside vLLM: a decode step has one fixed number of blocks, "
                f"compared in f32",
                f"leave {name} at {'none' if value is None else str(value).lower()}",
            )
