"""One context compared: its inputs made once, every indexer's selections from them measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hisa_eval.errors import UserError
from hisa_eval.indexers.wrapped import scored_keys_of, states_of, taken_over_from
from hisa_eval.run.runner import reason_of

if TYPE_CHECKING:
    from torch import Tensor

    from hisa_eval.fidelity.frame import Frame
    from hisa_eval.indexers.base import Indexer, IndexerState
    from hisa_eval.run.fidelity import PlannedFidelity
    from hisa_eval.run.fidelity_place import Place


def compare_on(run: PlannedFidelity, place: Place, indexers: list[Indexer]) -> list[dict[str, Any]]:
    """Records of some indexers on one context; the inputs are made once for all of them."""
    if not indexers:
        return []
    began = time.perf_counter()
    try:
        frames = run.source.frames(place)
        flat = [_flat(run, frame) for frame in frames]
        running = [_running(run, frame, chosen) for frame, (chosen, _) in zip(frames, flat, strict=True)]
    except Exception as error:
        if isinstance(error, UserError):
            raise
        return [_failed(one, reason_of(error)) for one in indexers]
    build = time.perf_counter() - began
    records = []
    for indexer in indexers:
        try:
            records.append(_finished(run, indexer, frames, flat, running, build))
        except Exception as error:
            records.append(_failed(indexer, reason_of(error)))
    return records


def _flat(run: PlannedFidelity, frame: Frame) -> tuple[Tensor, Tensor]:
    """Flat DSA's selection and its scores."""
    from hisa_eval.fidelity.measure import choose, selected_scores

    chosen = choose(frame, run.answerer.indexers[0], run.answerer.topk)
    return chosen, selected_scores(frame, chosen)


def _running(run: PlannedFidelity, frame: Frame, flat: Tensor) -> Tensor:
    """What the model's own indexer selects for the rows, in the same call as the others."""
    from hisa_eval.fidelity.measure import choose

    return flat if run.runner is run.answerer.indexers[0] else choose(frame, run.runner, run.answerer.topk)


def _finished(
    run: PlannedFidelity,
    indexer: Indexer,
    frames: list[Frame],
    flat: list[tuple[Tensor, Tensor]],
    running: list[Tensor],
    build: float,
) -> dict[str, Any]:
    from hisa_eval.fidelity.block_rank import block_ranks
    from hisa_eval.fidelity.measure import DISTANCES, choose, listed, measure
    from hisa_eval.fidelity.noise import noise_floor
    from hisa_eval.fidelity.overlap import overlap

    began = time.perf_counter()
    take_certificates = getattr(indexer, "take_certificates", None)
    certificates: list[dict[str, int]] = []
    if take_certificates is not None:
        take_certificates()  # nor are those of the model's own pass
    topk, is_flat = run.answerer.topk, indexer is run.answerer.indexers[0]
    states = _states(indexer, frames)
    # What a layer takes over it has not chosen from its own inputs: rounding those says nothing.
    alone = taken_over_from(indexer) is None
    layers, ranks, selecting = [], [], 0.0
    for frame, (reference, scores), own, state in zip(frames, flat, running, states, strict=True):
        started = time.perf_counter()
        chosen = choose(frame, indexer, topk, state)
        selecting += time.perf_counter() - started
        if take_certificates is not None:
            certificates.append(take_certificates())
        found = measure(frame, chosen, reference, scores)
        if run.runner is not run.answerer.indexers[0]:
            found["iou_running"] = listed(overlap(chosen, own).iou)
        found["noise"] = noise_floor(frame, indexer, topk, chosen, run.settings.precisions) if alone else {}
        if indexer is run.runner and frame.used is not None:
            found["noise"]["run"] = listed(overlap(chosen, frame.used).iou)
        if take_certificates is not None:
            take_certificates()  # those of the rounded inputs are not told
        layers.append(found)
        ranks += block_ranks(frame, topk) if is_flat else []
    recalls = [value for found in layers for value in (found["recall"][:-1] or found["recall"])]
    details = {
        "exact_below": min(indexer.exact_below(topk), 2**53),
        "visible": frames[0].ends.tolist(),
        "lead_in": frames[0].lead_in,
        "distances": list(DISTANCES),
        "scored_keys": _scored_keys(indexer, frames, topk),
        "select_seconds": selecting,
        "layers": layers,
        **({"block_ranks": ranks} if ranks else {}),
        **({"certificates": certificates} if certificates else {}),
    }
    return {
        "indexer": indexer.label,
        "score": sum(recalls) / len(recalls),
        "status": "ok",
        "reason": None,
        "details": details,
        "seconds": {"prefill": build, "decode": time.perf_counter() - began, "build": None},
    }


def _states(indexer: Indexer, frames: list[Frame]) -> list[IndexerState | None]:
    """One a frame for an indexer that takes over from the layers before; others select each row by itself.

    Raises:
        ValueError: such an indexer, and layers that do not follow each other from the first one on.
    """
    if taken_over_from(indexer) != "layers":
        return [None] * len(frames)
    there = [frame.layer for frame in frames]
    if there != list(range(len(frames))):
        held = ", ".join(map(str, there[:4])) + (", …" if len(there) > 4 else "")
        raise ValueError(f"it takes over from the layers before, and the inputs hold no others than {held}")
    return states_of(indexer, len(frames))


def _scored_keys(indexer: Indexer, frames: list[Frame], topk: int) -> float | None:
    """Vectors scored for the answering row, mean over layers, where the indexer says how many."""
    return scored_keys_of(indexer, int(frames[0].ends[-1]), topk, frames[0].q.shape[1], len(frames))


def _failed(indexer: Indexer, reason: str) -> dict[str, Any]:
    return {
        "indexer": indexer.label,
        "score": None,
        "status": "failed",
        "reason": reason,
        "seconds": {"prefill": None, "decode": None, "build": None},
    }
