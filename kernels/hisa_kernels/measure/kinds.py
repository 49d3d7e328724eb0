"""What a kind of case gives to contestants, and what holds their results to account."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

from hisa_kernels.measure.attention import AttentionTruth, make_attention
from hisa_kernels.measure.decode import DecodeTruth, make_decode
from hisa_kernels.measure.gate import Truth, Verdict
from hisa_kernels.measure.inputs import make_inputs


class Judge(Protocol):
    """The reference's answer to a case."""

    def judge(self, state: SimpleNamespace, tolerance: float) -> Verdict:
        """Hold what a pass left against it."""
        ...


class Kind(NamedTuple):
    """A kind of case.

    Attributes:
        make: Inputs of a case, from the case, the device and a dump where it is not random.
        truth: The judge of a case, from its inputs and the device.
    """

    make: Callable[..., Any]
    truth: Callable[[Any, str], Judge]


KINDS = {
    "selection": Kind(make_inputs, Truth),
    "attention": Kind(make_attention, AttentionTruth),
    "decode": Kind(make_decode, DecodeTruth),
}
