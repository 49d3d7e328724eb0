"""DeepGEMM's FP8 scores of all keys, with a top-k of somebody else behind it.

DeepGEMM has no top-k. `torch.topk` knows no bounds, so the scores that a row does not see must be cleared
first; a top-k that takes bounds does without.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace

import torch

from benchmarks.topk import TopK, masked_topk
from hisa_kernels.measure.decode import PAGE, DecodeInputs
from hisa_kernels.measure.inputs import Inputs
from hisa_kernels.measure.pipeline import Contestant, Stage, Unavailable


def _load() -> ModuleType:
    try:
        return importlib.import_module("deep_gemm")
    except Exception as error:
        raise Unavailable(f"deep_gemm cannot be imported: {error}") from None


class _Rows:
    """Memory of a strided matrix, whole rows of it, for `torch.as_tensor`.

    DeepGEMM allocates whole rows and returns a view whose storage ends with the last visible score; a top-k
    that reads rows by 16-byte words would have to copy it all, and the peer would look slower than it is.

    Args:
        scores: What DeepGEMM returned `[M, N]` f32; kept alive.
    """

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores = scores
        self.__cuda_array_interface__ = {
            "shape": (scores.shape[0], scores.stride(0)),
            "typestr": "<f4",
            "data": (scores.data_ptr(), False),
            "version": 3,
        }


def _whole_rows(scores: torch.Tensor) -> torch.Tensor:
    """`scores` itself as a view into whole rows."""
    return torch.as_tensor(_Rows(scores), device=scores.device)[:, : scores.shape[1]]


def _scores(inputs: Inputs, *, clean: bool) -> Callable[[SimpleNamespace], None]:
    own, case = inputs, inputs.case
    if case.dtype != "fp8" or case.heads not in (32, 64):
        raise Unavailable("takes FP8 with 32 or 64 heads only")
    library = _load()

    def run(state: SimpleNamespace) -> None:
        scores = library.fp8_mqa_logits(
            own.q, (own.k, own.k_scale), own.weights, own.starts, own.ends, clean_logits=clean
        )
        state.scores = scores if scores.stride(0) == scores.shape[1] else _whole_rows(scores)

    return run


def with_torch(inputs: Inputs) -> Sequence[Stage]:
    """Cleared scores, then `torch.topk`."""
    return [Stage("scores", _scores(inputs, clean=True)), Stage("top-k", masked_topk(inputs))]


def with_bounded(choose: TopK) -> Callable[[Inputs], Sequence[Stage]]:
    """Scores as they come, then a top-k that takes each row's bounds."""

    def prepare(inputs: Inputs) -> Sequence[Stage]:
        return [Stage("scores", _scores(inputs, clean=False)), Stage("top-k", choose(inputs))]

    return prepare


def _paged_scores(inputs: DecodeInputs) -> Callable[[SimpleNamespace], None]:
    own, case = inputs, inputs.case
    if case.dtype != "fp8" or case.heads not in (32, 64) or case.dim not in (32, 64, 128):
        raise Unavailable("takes FP8 with 32 or 64 heads of 32, 64 or 128 only")
    library = _load()
    q, pages = own.q[:, None], own.pages.view(-1, PAGE, 1, case.dim + 4)
    lengths = own.lengths[:, None].contiguous()
    plan = library.get_paged_mqa_logits_metadata(lengths, PAGE, library.get_num_sms())
    most = own.k.shape[1]

    def run(state: SimpleNamespace) -> None:
        state.scores = library.fp8_paged_mqa_logits(
            q, pages, own.weights, lengths, own.table, plan, most, clean_logits=False
        )

    return run


def decode_with_torch(inputs: DecodeInputs) -> Sequence[Stage]:
    """Scores of paged keys, those behind each sequence's end masked, then `torch.topk`.

    DeepGEMM does not clear scores where lengths have a dimension for a sequence's queries, as it asks for.
    """
    score = _paged_scores(inputs)
    behind = torch.arange(inputs.k.shape[1], device=inputs.k.device) >= inputs.lengths[:, None]

    def mask(state: SimpleNamespace) -> None:
        state.scores.masked_fill_(behind, -torch.inf)

    return [Stage("scores", score), Stage("mask", mask), Stage("top-k", masked_topk(inputs))]


def decode_with_bounded(choose: TopK) -> Callable[[DecodeInputs], Sequence[Stage]]:
    """Scores of paged keys as they come, then a top-k that takes lengths."""

    def prepare(inputs: DecodeInputs) -> Sequence[Stage]:
        return [Stage("scores", _paged_scores(inputs)), Stage("top-k", choose(inputs))]

    return prepare


def contestants(bounded: dict[str, TopK]) -> list[Contestant]:
    """DeepGEMM with each top-k.

    Args:
        bounded: Name -> a top-k that takes bounds.
    """
    return [
        Contestant("DeepGEMM + torch.topk", "flat", with_torch),
        Contestant("DeepGEMM paged + torch.topk", "decode flat", decode_with_torch),
        *(
            Contestant(f"DeepGEMM paged + {name}", "decode flat", decode_with_bounded(choose))
            for name, choose in bounded.items()
        ),
        *(Contestant(f"DeepGEMM + {name}", "flat", with_bounded(choose)) for name, choose in bounded.items()),
    ]
