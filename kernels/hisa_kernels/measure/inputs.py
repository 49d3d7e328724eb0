"""Queries, keys and gates of a case: random ones, or a model's own from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from hisa_kernels.measure.case import Case

FP8_MAX = 448.0
SEED = 0


@dataclass(frozen=True)
class Inputs:
    """What every contestant of a case gets.

    Attributes:
        case: The shape.
        q: Queries `[M, H, D]`.
        k: Keys `[N, D]`.
        k_scale: Scale `[N]` f32 of FP8 keys.
        weights: Gates `[M, H]` f32, the scale of FP8 queries folded in.
        starts: First visible keys `[M]` int32.
        ends: One past the last ones `[M]` int32.
        known: What the reference said of these very inputs, for all cases that share them.
    """

    case: Case
    q: Tensor
    k: Tensor
    k_scale: Tensor | None
    weights: Tensor
    starts: Tensor
    ends: Tensor
    known: dict[str, Tensor] = field(default_factory=dict, compare=False)

    @property
    def scoring(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """`q`, `k`, `weights`, `starts` and `ends`, as every selecting operator takes them."""
        return self.q, self.k, self.weights, self.starts, self.ends

    def rows(self, index: Tensor) -> Inputs:
        """The same keys with some of the queries `[r]`."""
        q = self.q.view(torch.uint8)[index].view(self.q.dtype) if self.case.dtype == "fp8" else self.q[index]
        return Inputs(
            self.case, q, self.k, self.k_scale, self.weights[index], self.starts[index], self.ends[index]
        )


def make_inputs(case: Case, device: str, dumped: dict[str, Tensor] | None = None) -> Inputs:
    """The inputs of a case.

    Args:
        case: The shape; its `inputs` says which.
        device: Where to.
        dumped: From `read_dump`, where the case is not random.
    """
    if dumped is None:
        generator = torch.Generator(device=device).manual_seed(SEED)
        q = torch.randn(case.queries, case.heads, case.dim, device=device, generator=generator)
        k = torch.randn(case.context, case.dim, device=device, generator=generator)
        weights = torch.randn(case.queries, case.heads, device=device, generator=generator)
        weights *= (case.heads * case.dim) ** -0.5
    else:
        q, k, weights = (part.to(device) for part in _cut(case, dumped))
    ends = torch.arange(case.context - case.queries + 1, case.context + 1, dtype=torch.int32, device=device)
    starts = torch.zeros_like(ends)
    if case.dtype != "fp8":
        dtype = torch.bfloat16 if case.dtype == "bf16" else torch.float32
        return Inputs(case, q.to(dtype), k.to(dtype), None, weights, starts, ends)
    q_fp8, q_scale = quantise(q)
    k_fp8, k_scale = quantise(k)
    return Inputs(case, q_fp8, k_fp8, k_scale, weights * q_scale, starts, ends)


def quantise(values: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors `[..., D]` as FP8 e4m3, and their scales `[...]` f32 (largest magnitude over 448)."""
    scale = values.float().abs().amax(-1).clamp_(min=1e-10) / FP8_MAX
    return (values.float() / scale[..., None]).to(torch.float8_e4m3fn), scale


def read_dump(path: Path) -> dict[str, Tensor]:
    """`q [M, H, D]`, `k [N, D]` and `weights [M, H]` of a safetensors file, in f32.

    Raises:
        ValueError: no such file, or it does not hold these three.
    """
    from safetensors.torch import load_file

    try:
        found = load_file(str(path))
        parts = {name: found[name].float() for name in ("q", "k", "weights")}
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: dump inputs there first") from None
    except KeyError as error:
        raise ValueError(f"{path} has no tensor {error}: it must hold q, k and weights") from None
    shapes = [tuple(parts[name].shape) for name in ("q", "k", "weights")]
    (m, h, d), n_d, gates = shapes
    if n_d[1:] != (d,) or gates != (m, h):
        raise ValueError(f"{path} holds shapes {shapes}: pass q [M, H, D], k [N, D] and weights [M, H]")
    return parts


def _cut(case: Case, dumped: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The last queries and keys of a dump in the shape of `case`.

    Heads are repeated and dimensions padded with zeros: the scores stay those of the model (gates are divided
    by the number of repeats), while kernels that know only a large model's shape can take part.
    """
    q, k, weights = (dumped[name] for name in ("q", "k", "weights"))
    if len(q) < case.queries or len(k) < case.context:
        raise ValueError(
            f"the dump holds {len(q)} queries and {len(k)} keys, fewer than {case.queries} and "
            f"{case.context}: ask for shorter contexts, or dump a longer one"
        )
    repeats, rest = divmod(case.heads, q.shape[1])
    if rest or q.shape[2] > case.dim:
        raise ValueError(
            f"the dump has {q.shape[1]} heads of {q.shape[2]}: pass a multiple of them as --heads, --dim"
        )
    q = torch.nn.functional.pad(q[-case.queries :], (0, case.dim - q.shape[2])).repeat(1, repeats, 1)
    k = torch.nn.functional.pad(k[-case.context :], (0, case.dim - k.shape[1]))
    return q, k, weights[-case.queries :].repeat(1, repeats) / repeats
