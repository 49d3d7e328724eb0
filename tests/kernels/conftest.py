"""Fixtures of the operator tests: the device, and memory that shows when it was never written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

GARBAGE = {torch.int32: 1 << 30, torch.int64: 1 << 40, torch.bool: True}


@pytest.fixture(scope="package", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where the operators run; a CUDA test without a CUDA device fails."""
    chosen = torch.device(request.param)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        pytest.fail("this test needs a CUDA device: run it on a GPU machine, or drop -m gpu")
    return chosen


def _poisoned(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def wrapper(*args: Any, **kwargs: Any) -> torch.Tensor:
        made = make(*args, **kwargs)
        if made.is_floating_point() and made.dtype.itemsize > 1:
            return made.fill_(torch.nan)
        return made.fill_(GARBAGE[made.dtype]) if made.dtype in GARBAGE else made

    return wrapper


@pytest.fixture(autouse=True, scope="package")
def poisoned_memory() -> Iterator[None]:
    """Fills new memory with NaN (whole numbers: far out of range), so that unwritten places show."""
    patch = pytest.MonkeyPatch()
    patch.setattr(torch, "empty", _poisoned(torch.empty))
    patch.setattr(torch, "empty_like", _poisoned(torch.empty_like))
    patch.setattr(torch.Tensor, "new_empty", _poisoned(torch.Tensor.new_empty))
    yield
    patch.undo()
