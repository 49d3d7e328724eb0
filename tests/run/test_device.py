"""Device and dtype of a run."""

from __future__ import annotations

import pytest
import torch

from hisa_eval.errors import UserError
from hisa_eval.run.device import resolve_device, resolve_dtype


@pytest.mark.parametrize(
    ("dtype", "device", "resolved"),
    [
        ("auto", "cpu", "f32"),
        ("auto", "cuda", "bf16"),
        ("f32", "cuda", "f32"),
        ("bf16", "cpu", "bf16"),
    ],
)
def test_dtype(dtype: str, device: str, resolved: str) -> None:
    assert resolve_dtype(dtype, device) == resolved


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"
    with pytest.raises(UserError, match="--device cuda: this torch"):
        resolve_device("cuda")
