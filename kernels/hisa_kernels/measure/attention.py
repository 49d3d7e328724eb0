"""Sparse attention over a choice, as a case of its own: the paper's reference line beside the indexers.

Source: HISA, arXiv 2603.28458, figure 2; shapes of DeepSeek-V3.2 (latent 512, rotary 64).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from hisa_kernels import sparse_mla
from hisa_kernels.measure.case import Case
from hisa_kernels.measure.gate import Verdict, compared_rows
from hisa_kernels.measure.inputs import SEED

ROTARY = 64
"""Columns of a latent that are no value."""

MOST_ERROR = 1e-2
"""Relative error, ‖out − reference‖ / ‖reference‖, that bf16 products and weights may cost."""


@dataclass(frozen=True)
class AttentionInputs:
    """What every contestant of an attention case gets.

    Attributes:
        case: `heads` are those of the attention, `dim` is the width of a latent.
        q: Absorbed queries `[M, H, Dk]` bf16.
        kv: Latents `[N, Dk]` bf16.
        indices: Chosen latents `[M, k]` int32, distinct, ascending, visible, spread over the context.
        scale: Softmax scale.
        value_dim: Columns of a value.
    """

    case: Case
    q: Tensor
    kv: Tensor
    indices: Tensor
    scale: float
    value_dim: int


def make_attention(case: Case, device: str, _dumped: dict[str, Tensor] | None = None) -> AttentionInputs:
    """Random queries and latents, and for each query one token of each of k equal parts of what it sees."""
    generator = torch.Generator(device=device).manual_seed(SEED)
    q = torch.randn(case.queries, case.heads, case.dim, device=device, generator=generator).bfloat16()
    kv = torch.randn(case.context, case.dim, device=device, generator=generator).bfloat16()
    seen = torch.arange(case.context - case.queries + 1, case.context + 1, device=device)[:, None]
    part = torch.arange(case.topk + 1, device=device) * seen // case.topk
    width = part[:, 1:] - part[:, :-1]
    share = torch.rand(case.queries, case.topk, device=device, generator=generator)
    chosen = part[:, :-1] + torch.minimum((share * width).long(), width - 1)
    # A part is empty where a query sees fewer than k tokens: such slots go to the end.
    ranked = chosen.masked_fill(width == 0, case.context).sort(1).values
    indices = ranked.masked_fill(ranked == case.context, -1).int()
    return AttentionInputs(case, q, kv, indices, case.dim**-0.5, case.dim - ROTARY)


class AttentionTruth:
    """The reference's output for some rows.

    Args:
        inputs: All of the case.
        device: Where they live.
    """

    def __init__(self, inputs: AttentionInputs, device: str) -> None:
        self.case = inputs.case
        self._inputs = inputs
        self._index = compared_rows(inputs.case, device)

    def judge(self, state: SimpleNamespace, _tolerance: float) -> Verdict:
        """Hold `state.out` `[M, H, value_dim]` against the f32 reference."""
        own, index = self._inputs, self._index
        expected = sparse_mla(
            own.q[index].float(),
            own.kv.float(),
            own.indices[index],
            scale=own.scale,
            value_dim=own.value_dim,
            backend="reference",
        )
        got = state.out[index].float()
        if got.shape != expected.shape or not bool(torch.isfinite(got).all()):
            return Verdict(False, f"output of shape {list(got.shape)}, or not finite")
        error = float((got - expected).norm() / expected.norm())
        figures = {"rows": len(index), "relative_error": error}
        if error > MOST_ERROR:
            return Verdict(False, f"relative error {error:.2e}, above {MOST_ERROR:.0e}", figures)
        return Verdict(True, "", figures)
