"""Decoding as a case of its own: a batch of sequences, one query each, keys contiguous and in pages.

Pages hold 64 tokens: their FP8 values, then their f32 scales, as vLLM, SGLang and DeepGEMM lay them out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch
from torch import Tensor

from hisa_kernels import pool_keys
from hisa_kernels.measure.case import Case
from hisa_kernels.measure.gate import Truth, Verdict
from hisa_kernels.measure.inputs import SEED, Inputs, quantise

PAGE = 64
"""Tokens a page."""

COMPARED = 6
"""Sequences of the batch that are compared with the reference."""


@dataclass(frozen=True)
class DecodeInputs:
    """What every contestant of a decoding case gets.

    Attributes:
        case: `queries` sequences of up to `context` keys.
        q: Queries `[b, H, D]` FP8.
        k: Keys `[b, N, D]` FP8, N a multiple of 64.
        k_scale: Their scales `[b, N]` f32.
        weights: Gates `[b, H]` f32.
        lengths: Keys of each sequence `[b]` int32; all end within the last page.
        pooled: Pooled keys as a cache keeps them `[b, blocks, D]` f32; the last block's are of its real keys.
        pages: The same keys in pages `[b · N / 64, 64 · (D + 4)]` uint8, in random order.
        table: Pages of each sequence `[b, N / 64]` int32.
    """

    case: Case
    q: Tensor
    k: Tensor
    k_scale: Tensor
    weights: Tensor
    lengths: Tensor
    pooled: Tensor
    pages: Tensor
    table: Tensor

    @property
    def starts(self) -> Tensor:
        """First key of each query within its own sequence: zeros `[b]` int32."""
        return torch.zeros_like(self.lengths)

    @property
    def ends(self) -> Tensor:
        """One past its last key: `lengths`."""
        return self.lengths


def make_decode(case: Case, device: str, _dumped: dict[str, Tensor] | None = None) -> DecodeInputs:
    """Random sequences; made one by one, so that no f32 copy of all keys is held."""
    generator = torch.Generator(device=device).manual_seed(SEED)
    batch, n, dim = case.queries, -(-case.context // PAGE) * PAGE, case.dim
    q, q_scale = quantise(torch.randn(batch, case.heads, dim, device=device, generator=generator))
    gates = torch.randn(batch, case.heads, device=device, generator=generator)
    lengths = torch.randint(n - PAGE + 1, n + 1, (batch,), device=device, generator=generator).int()
    k = torch.empty((batch, n, dim), dtype=torch.float8_e4m3fn, device=device)
    k_scale = torch.empty((batch, n), dtype=torch.float32, device=device)
    pooled = torch.zeros((batch, -(-n // case.block_size), dim), dtype=torch.float32, device=device)
    for row, length in enumerate(lengths.tolist()):
        k[row], k_scale[row] = quantise(torch.randn(n, dim, device=device, generator=generator))
        found = pool_keys(
            k[row, :length], case.block_size, k_scale=k_scale[row, :length], backend="reference"
        )
        pooled[row, : len(found)] = found
    values = k.view(torch.uint8).view(-1, PAGE * dim)
    scales = k_scale.view(-1, PAGE).view(torch.uint8)
    order = torch.randperm(len(values), device=device, generator=generator)
    pages = torch.empty((len(values), PAGE * (dim + 4)), dtype=torch.uint8, device=device)
    pages[order] = torch.cat((values, scales), dim=1)
    table = order.view(batch, -1).int()
    weights = gates * (case.heads * dim) ** -0.5 * q_scale
    return DecodeInputs(case, q, k, k_scale, weights, lengths, pooled, pages, table)


class DecodeTruth:
    """The reference's own choice for some sequences of a batch.

    Args:
        inputs: All of the case.
        device: Where they live.
    """

    def __init__(self, inputs: DecodeInputs, device: str) -> None:
        rows = torch.linspace(0, inputs.case.queries - 1, min(COMPARED, inputs.case.queries)).long().tolist()
        self._truths = {row: Truth(_sequence(inputs, row), device) for row in sorted(set(rows))}

    def judge(self, state: SimpleNamespace, tolerance: float) -> Verdict:
        """Hold `state.indices` `[b, k]` (positions within each sequence) against the f32 reference."""
        found = []
        for row, truth in self._truths.items():
            own = SimpleNamespace(indices=state.indices[row : row + 1])
            if hasattr(state, "blocks"):
                own.blocks = state.blocks[row : row + 1]
            verdict = truth.judge(own, tolerance)
            if not verdict.passed:
                return replace(verdict, reason=f"sequence {row}: {verdict.reason}")
            found.append(verdict.figures)
        figures = {name: sum(one[name] for one in found) / len(found) for name in found[0]}
        return Verdict(True, "", {**figures, "rows": len(found)})


def _sequence(inputs: DecodeInputs, row: int) -> Inputs:
    """One sequence of a batch, as a selection of one query."""
    length = int(inputs.lengths[row])
    case = replace(inputs.case, queries=1, context=length, kind="selection")
    one = slice(row, row + 1)
    ends = inputs.lengths[one]
    return Inputs(
        case,
        inputs.q[one],
        inputs.k[row, :length],
        inputs.k_scale[row, :length],
        inputs.weights[one],
        torch.zeros_like(ends),
        ends,
    )
