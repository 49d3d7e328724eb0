"""What the machine at hand can do at most: memory bandwidth and matrix rates, measured in the same run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from hisa_kernels.measure.case import Work
from hisa_kernels.measure.clock import time_stages
from hisa_kernels.measure.pipeline import Stage


@dataclass(frozen=True)
class Ceilings:
    """Measured rates.

    Attributes:
        bytes_per_s: Copy of a buffer far larger than any cache, bytes read plus bytes written.
        flop_per_s: Large square matrix product on random values, by dtype of the inputs.
    """

    bytes_per_s: float
    flop_per_s: dict[str, float]

    def facts(self) -> dict[str, object]:
        """As JSON types."""
        return asdict(self)

    def floor_ms(self, work: Work, dtype: str) -> float:
        """The time below which no program can do `work`: its operations or its bytes, whichever takes longer.

        Args:
            work: From `Case.work`.
            dtype: Of queries and keys.
        """
        rate = self.flop_per_s.get(dtype) or self.flop_per_s["f32"]
        return 1e3 * max(work.flop / rate, work.bytes / self.bytes_per_s)


def measure_ceilings(device: str) -> Ceilings:
    """Time a copy and the matrix products that the torch at hand offers; the 10th percentile of many each."""
    on_gpu = device == "cuda"
    n_bytes = (1 << 30) if on_gpu else (64 << 20)
    source = torch.randint(0, 255, (n_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = _seconds(lambda: target.copy_(source), device)
    rates = {"f32": _rate(torch.mm, _random(4096 if on_gpu else 1024, device), device)}
    if on_gpu:
        size = 8192
        rates["bf16"] = _rate(torch.mm, _random(size, device).bfloat16(), device)
        try:
            rates["fp8"] = _rate(_fp8_product, _random(size, device).to(torch.float8_e4m3fn), device)
        except RuntimeError:
            rates["fp8"] = 2 * rates["bf16"]
    return Ceilings(2 * n_bytes / copied, rates)


def _random(size: int, device: str) -> Tensor:
    return torch.randn(size, size, device=device)


def _fp8_product(left: Tensor, right: Tensor) -> Tensor:
    one = torch.ones((), device=left.device)
    return torch._scaled_mm(
        left, right, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
    )


def _rate(product: Callable[[Tensor, Tensor], Tensor], matrix: Tensor, device: str) -> float:
    size = matrix.shape[0]
    return 2 * size**3 / _seconds(lambda: product(matrix, matrix.t()), device)


def _seconds(run: Callable[[], object], device: str) -> float:
    def stage(_state: SimpleNamespace) -> None:
        run()

    return time_stages([Stage("", stage)], device, 60.0).total.p10 / 1e3
