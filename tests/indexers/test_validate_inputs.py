"""Input checks that any indexer can call: what they say, and what they must let through."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hisa_eval.indexers.conformance.cases import FP8, Case, make_case
from hisa_eval.indexers.validate import require_finite, validate_inputs


def check(case: Case, checked: int = 0) -> None:
    """`validate_inputs` on a case."""
    validate_inputs(
        case.q,
        case.k,
        case.weights,
        case.starts,
        case.ends,
        case.topk,
        k_scale=case.k_scale,
        checked=checked,
    )


CASE = make_case([(9, (9, 4))], 8)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"topk": 0}, "k = 0 is no token budget – pass a topk of at least 1"),
        ({"q": CASE.q[0]}, "q has shape [2, 4] – pass [M, H, D]"),
        ({"k": CASE.k[:, 1:]}, "k has shape [9, 3] – with q [2, 2, 4] pass [N, 4]"),
        ({"weights": CASE.weights[:1]}, "weights has shape [1, 2] – with q [2, 2, 4] pass [2, 2]"),
        ({"ends": CASE.ends.long()}, "ends is int64 – convert it with .to(torch.int32)"),
        ({"q": CASE.q.double()}, "q is float64, k is float32 – pass float32, bfloat16 or float8_e4m3fn"),
        (
            {"k": CASE.k.to(FP8)},
            "k is float8_e4m3fn without k_scale – pass a scale per token with FP8 keys, and with no others",
        ),
        (
            {"k_scale": torch.ones(9)},
            "k is float32 with k_scale – pass a scale per token with FP8 keys, and with no others",
        ),
        ({"weights": CASE.weights.to("meta")}, "weights is on meta, q on cpu – move both to one device"),
        (
            {"ends": torch.tensor([9, 10], dtype=torch.int32)},
            "row 1: starts = 0, ends = 10 with 9 keys – bounds must satisfy 0 <= start <= end <= N",
        ),
        (
            {"k": CASE.k.index_fill(0, torch.tensor([3]), float("nan"))},
            "k holds 4 NaN or infinite value(s), the first nan at [3, 0] – "
            "a score of it has no rank; repair what produces it",
        ),
    ],
)
def test_bad_input_is_said_in_one_line(bad: dict, message: str) -> None:
    with pytest.raises(ValueError, match="–") as error:
        check(replace(CASE, **bad))
    assert str(error.value) == message


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_values_whose_sum_overflows_are_finite(dtype: torch.dtype) -> None:
    check(replace(CASE, k=torch.full((9, 4), torch.finfo(dtype).max, dtype=dtype)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_infinities_that_cancel_are_still_found(dtype: torch.dtype, value: float) -> None:
    k = CASE.k.to(dtype).clone()
    k[1, 1], k[8, 3] = value, -value
    with pytest.raises(ValueError, match="k holds 2 NaN or infinite"):
        check(replace(CASE, k=k))


def test_keys_checked_before_are_not_looked_at_again() -> None:
    k = CASE.k.clone()
    k[3] = float("nan")
    check(replace(CASE, k=k), checked=4)
    with pytest.raises(ValueError, match="k holds 4 NaN"):
        check(replace(CASE, k=k), checked=3)


def test_inputs_without_rows_or_keys_are_fine() -> None:
    check(CASE.rows([]))
    check(make_case([(0, (0,))], 8))


def test_finite_values_of_every_dtype_pass() -> None:
    for dtype in (torch.float32, torch.bfloat16, FP8):
        require_finite("values", torch.tensor([0.0, -1.0, 448.0]).to(dtype))
    with pytest.raises(ValueError, match="values holds 1 NaN"):
        require_finite("values", torch.tensor([1.0, float("nan")]).to(FP8))
