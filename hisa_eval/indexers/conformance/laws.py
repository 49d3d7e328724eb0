"""What every indexer keeps, as plain functions: each names the law and the row that broke it, or returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hisa_eval.indexers.base import Indexer
from hisa_eval.indexers.conformance import oracle
from hisa_eval.indexers.conformance.cases import Case, settings_of, with_other_keys
from hisa_eval.indexers.newest import newest_selector


class LawBrokenError(AssertionError):
    """An indexer broke a law.

    Args:
        law: Name of the law.
        detail: What was seen and what was due.
        row: Row of the batch, where one is to blame.
    """

    def __init__(self, law: str, detail: str, row: int | None = None) -> None:
        self.law = law
        self.row = row
        place = "" if row is None else f"row {row}: "
        super().__init__(f"law {law!r} broken – {place}{detail}")


def selects_exactly_k(indexer: Indexer) -> bool:
    """Whether the indexer promises min(k, visible) keys a row (token-level ones do)."""
    return bool(getattr(indexer, "selects_exactly_k", True))


def selected(result: Tensor) -> list[list[int]]:
    """The positions of each row, −1 left out."""
    return [[i for i in row if i >= 0] for row in result.tolist()]


def checked_select(indexer: Indexer, case: Case) -> list[list[int]]:
    """Select, hold every law that one result can be held to, and give the positions of each row.

    Args:
        indexer: Who selects.
        case: The inputs.

    Raises:
        LawBrokenError: on the first law that does not hold.
    """
    result = case.select(indexer)
    check_result(indexer, case, result)
    return selected(result)


def check_result(indexer: Indexer, case: Case, result: Tensor) -> None:
    """Form, visible, padding, distinct, ascending, count and whole blocks: the laws of one result.

    Args:
        indexer: Who selected.
        case: The inputs.
        result: What it returned.

    Raises:
        LawBrokenError: on the first law that does not hold.
    """
    _check_form(indexer, case, result)
    exact = selects_exactly_k(indexer)
    size = None if exact else settings_of(indexer, "block_size", None)
    for row, (slots, (start, end)) in enumerate(zip(result.tolist(), case.bounds, strict=True)):
        filled = next((i for i, slot in enumerate(slots) if slot == -1), len(slots))
        positions = slots[:filled]
        hidden = [i for i in slots if i != -1 and not start <= i < end]
        if hidden:
            raise LawBrokenError("visible", f"{hidden[:4]} lie outside the visible [{start}, {end})", row)
        if any(slot != -1 for slot in slots[filled:]):
            raise LawBrokenError("padding", f"a position follows the first -1 at slot {filled}", row)
        due = min(case.topk, end - start)
        if exact and filled > due and len(set(positions)) <= due:
            raise LawBrokenError(
                "padding", f"slots from {due} on must be -1, found {positions[due:][:4]}", row
            )
        if len(set(positions)) != filled:
            raise LawBrokenError("distinct", f"{filled - len(set(positions))} position(s) come twice", row)
        if positions != sorted(positions):
            raise LawBrokenError("ascending", f"positions are out of order: {positions[:8]}", row)
        least = _least_selected(indexer, end - start, case.topk)
        if exact and not least <= filled <= due:
            wanted = f"min(k, visible) = {due}" + (f", {least} at the least" if least < due else "")
            raise LawBrokenError("count", f"{filled} positions, due are {wanted}", row)
        if not exact and end > start and not filled:
            raise LawBrokenError("count", f"nothing selected of {end - start} visible keys", row)
        if size:
            _check_whole_blocks(row, positions, start, end, size)


def law_matches_dsa(indexer: Indexer, case: Case, law: str = "matches dsa") -> None:
    """Rows within `exact_below(k)` get flat DSA's own selection.

    Args:
        indexer: Who selects.
        case: The inputs, with scores exact in float32.
        law: Name of the law in the error (ties are this law on inputs full of them).
    """
    bound = indexer.exact_below(case.topk)
    got = checked_select(indexer, case)
    for row, (due, (start, end)) in enumerate(zip(oracle.flat_selection(case), case.bounds, strict=True)):
        if end - start > bound or got[row] == due:
            continue
        missing, extra = sorted(set(due) - set(got[row])), sorted(set(got[row]) - set(due))
        raise LawBrokenError(
            law, f"{end - start} visible, DSA's {missing[:4]} missing, {extra[:4]} instead", row
        )


def law_ties(indexer: Indexer, case: Case) -> None:
    """Of equal scores the lower position wins; `case` holds equal or two-valued scores."""
    law_matches_dsa(indexer, case, law="ties")


def law_row_alone(indexer: Indexer, case: Case, rows: Sequence[int]) -> None:
    """A row gets the same selection alone, and in a batch of another order.

    Args:
        indexer: Who selects.
        case: The inputs.
        rows: Rows to ask alone.
    """
    together = checked_select(indexer, case)
    for row in rows:
        alone = checked_select(indexer, case.rows([row]))[0]
        _same("row alone", together[row], alone, "asked alone", row)
    backwards = list(reversed(range(len(together))))
    for row, positions in zip(backwards, checked_select(indexer, case.rows(backwards)), strict=True):
        _same("row alone", together[row], positions, "in a reversed batch", row)


def law_placement(indexer: Indexer, case: Case, rows: Sequence[int]) -> None:
    """A row gets the same selection where its sequence stands alone: blocks count from its own start."""
    together = checked_select(indexer, case)
    for row in rows:
        start, end = case.bounds[row]
        alone = checked_select(indexer, case.rows([row]).keys(start, end))[0]
        _same("placement", together[row], [start + i for i in alone], "as the only sequence", row)


def law_unseen_keys(indexer: Indexer, case: Case, rows: Sequence[int], seed: int = 0) -> None:
    """Keys that a row does not see, later ones of its own sequence too, cannot change its selection."""
    before = checked_select(indexer, case)
    everywhere = torch.arange(case.k.shape[0], device=case.k.device)
    for row in rows:
        start, end = case.bounds[row]
        changed = with_other_keys(case, (everywhere < start) | (everywhere >= end), seed + row)
        after = checked_select(indexer, changed)[row]
        _same("unseen keys", before[row], after, f"with keys outside [{start}, {end}) replaced", row)


def law_repeatable(indexer: Indexer, case: Case) -> None:
    """The same call gives the same result, slot for slot, and leaves its inputs alone."""
    tensors = (case.q, case.k, case.weights, case.starts, case.ends)
    copies = [tensor.clone() for tensor in tensors]
    first = case.select(indexer)
    for copy, tensor in zip(copies, tensors, strict=True):
        if not torch.equal(copy.float(), tensor.float()):
            raise LawBrokenError("repeatable", "select changed one of its inputs")
    kept = first.clone()
    second = case.select(indexer)
    if not torch.equal(kept, second):
        row = int((kept != second).any(1).nonzero()[0])
        raise LawBrokenError("repeatable", "a second call gave another result", row)


def law_state(indexer: Indexer, case: Case, lengths: Sequence[int], seed: int = 0) -> None:
    """Selecting with a state equals selecting without one, whatever the chunks and truncations.

    Args:
        indexer: Who selects; nothing to hold where its `new_state` gives None.
        case: One sequence that starts at 0.
        lengths: Lengths the sequence takes on, in order. A larger or equal one extends it and selects; a
            smaller one truncates it, and other keys follow.
        seed: Of those other keys.
    """
    state = indexer.new_state()
    if state is None:
        return
    length = 0
    everywhere = torch.arange(case.k.shape[0], device=case.k.device)
    for step, target in enumerate(lengths):
        if target < length:
            state.truncate(target)
            case = with_other_keys(case, everywhere >= target, seed + step)
            length = target
            continue
        length = target
        now = replace(case.keys(0, length), ends=case.ends.clamp(max=length))
        got = now.select(indexer, state)
        check_result(indexer, now, got)
        for row, due in enumerate(checked_select(indexer, now)):
            _same("state", due, selected(got)[row], f"with state, lengths {list(lengths[: step + 1])}", row)


def law_newest(indexer: Indexer, case: Case, given: int) -> None:
    """Selecting token by token from a key buffer equals selecting the last row, whatever lies behind it.

    Args:
        indexer: Who selects; nothing to hold where it offers no selector for new tokens.
        case: One sequence that starts at 0 and a query for each of its last tokens, in order.
        given: Keys before the first of those tokens.
    """
    last = given + len(case.q)
    buffer = torch.full((last + 3, case.k.shape[1]), torch.nan, dtype=case.k.dtype, device=case.k.device)
    selector = newest_selector(indexer, buffer, case.q.shape[1], case.topk, (given + 1, last))
    if selector is None:
        return
    buffer[:given] = case.k[:given]
    selector.begin(given)
    for row in range(len(case.q)):
        own = slice(row, row + 1)
        buffer[given + row] = case.k[given + row]
        got = selector.select(case.q[own], case.weights[own], case.ends[own])
        now = replace(
            case.keys(0, given + row + 1),
            q=case.q[own],
            weights=case.weights[own],
            starts=case.starts[own],
            ends=case.ends[own],
        )
        check_result(indexer, now, got)
        _same("newest", checked_select(indexer, now)[0], selected(got)[0], "token by token", row)


def _check_form(indexer: Indexer, case: Case, result: Tensor) -> None:
    rows = case.q.shape[0]
    if not isinstance(result, Tensor) or result.dtype != torch.int32:
        raise LawBrokenError(
            "form", f"the result must be an int32 tensor, is {getattr(result, 'dtype', type(result))}"
        )
    if result.ndim != 2 or result.shape[0] != rows:
        raise LawBrokenError("form", f"the result must have shape [{rows}, W], has {list(result.shape)}")
    if selects_exactly_k(indexer) and result.shape[1] != case.topk:
        raise LawBrokenError("form", f"the result must have k = {case.topk} columns, has {result.shape[1]}")
    if result.device != case.q.device:
        raise LawBrokenError("form", f"the result must be on {case.q.device}, is on {result.device}")


def _least_selected(indexer: Indexer, visible: int, topk: int) -> int:
    """min(k, visible), or less where the indexer owns up to it by an optional method `least_selected`."""
    own = getattr(indexer, "least_selected", None)
    return min(topk, visible) if own is None else int(own(visible, topk))


def _check_whole_blocks(row: int, positions: list[int], start: int, end: int, size: int) -> None:
    due: list[int] = []
    for block in sorted({(i - start) // size for i in positions}):
        due += range(start + block * size, min(start + (block + 1) * size, end))
    if positions != due:
        raise LawBrokenError("whole blocks", f"blocks of {size} from {start} on are taken in part", row)


def _same(law: str, due: list[int], got: list[int], how: str, row: int) -> None:
    if due != got:
        missing, extra = sorted(set(due) - set(got)), sorted(set(got) - set(due))
        raise LawBrokenError(law, f"{how}, {missing[:4]} are lost and {extra[:4]} come instead", row)
