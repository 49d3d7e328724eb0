"""What every indexer refuses, with a `ValueError` of one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from hisa_eval.indexers.base import Indexer, IndexerState
from hisa_eval.indexers.conformance.cases import FP8, Case
from hisa_eval.indexers.conformance.laws import LawBrokenError

UNREACHABLE = 1 << 30
"""A token budget that no fixed number of blocks can fill."""


def law_rejects(indexer: Indexer, case: Case, what: str, state: IndexerState | None = None) -> None:
    """`select` on `case` must end in a ValueError whose message is one line.

    Args:
        indexer: Who must refuse.
        case: Bad input.
        what: What is bad about it, for the error.
        state: What the indexer remembers of good input before it.
    """
    try:
        case.select(indexer, state)
    except ValueError as error:
        if not str(error) or "\n" in str(error):
            raise LawBrokenError(
                "rejects", f"{what}: the message must be one line, is {str(error)!r}"
            ) from error
        return
    except Exception as error:
        raise LawBrokenError(
            "rejects", f"{what}: a ValueError is due, came {type(error).__name__}: {error}"
        ) from error
    raise LawBrokenError("rejects", f"{what} was accepted")


def law_rejects_infeasible(indexer: Indexer, case: Case) -> None:
    """Where `check_budget` refuses a budget, `select` refuses it too; both say so in one line.

    Args:
        indexer: Who must refuse; nothing to hold where it has no `check_budget` or no limit.
        case: Good input, whose budget is replaced.
    """
    if refusal(indexer, UNREACHABLE) is not None:
        law_rejects(indexer, replace(case, topk=UNREACHABLE), f"k = {UNREACHABLE}")


def refusal(indexer: Indexer, topk: int) -> ValueError | None:
    """The error with which the indexer's optional `check_budget` refuses a budget, if it does."""
    check = getattr(indexer, "check_budget", None)
    if check is None:
        return None
    try:
        check(topk)
    except ValueError as error:
        return error
    return None


def bad_values(case: Case) -> Iterator[tuple[str, Case]]:
    """`case` with one NaN or infinity in one tensor, each in turn.

    Args:
        case: Good input of at least one row and one key.

    Yields:
        What is bad, and the case.
    """
    for name in ("q", "k", "weights", "k_scale"):
        tensor = getattr(case, name)
        if tensor is None:
            continue
        for value in (torch.nan, torch.inf, -torch.inf):
            if tensor.dtype == FP8 and value == value:
                continue  # e4m3 has no infinity
            bad = tensor.clone()
            bad.view(-1)[bad.numel() // 2] = value
            yield f"{value} in {name}", replace(case, **{name: bad})


def bad_layouts(case: Case) -> Iterator[tuple[str, Case]]:
    """`case` with bounds, shapes or dtypes that make no sense, each in turn.

    Args:
        case: Good input of at least one row and one key.

    Yields:
        What is bad, and the case.
    """
    n = case.k.shape[0]
    yield "a start below 0", replace(case, starts=case.starts - 1 - case.starts[0])
    yield "an end beyond the keys", replace(case, ends=case.ends + n)
    yield "a start after its end", replace(case, starts=case.ends + 1)
    yield "a row too few in weights", replace(case, weights=case.weights[1:])
    yield "a row too few in starts", replace(case, starts=case.starts[1:])
    yield "a row too few in ends", replace(case, ends=case.ends[1:])
    yield "keys of another width", replace(case, k=case.k[:, 1:])
    yield "queries without heads", replace(case, q=case.q[:, 0])
    yield "integer keys", replace(case, k=case.k.float().int(), k_scale=None)
    yield "k = 0", replace(case, topk=0)
    yield "a scale for half of the keys", replace(case, k=case.k.float().to(FP8), k_scale=torch.ones(n // 2))
