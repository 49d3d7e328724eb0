"""Named distributions of queries, keys and gates, each a different question to block pooling.

None of them stands for a trained model; they say what a method does where the structure is known.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from hisa_eval.errors import unknown_name
from hisa_eval.fidelity.frame import Frame, spread_rows

VERSION = 1
"""Rises with every change that gives other numbers."""

DISTRIBUTIONS = {
    "gaussian": "independent normal keys: nothing for a pooled key to find",
    "local": "keys that drift along the text (AR(1), 0.98): neighbours are alike, blocks hold together",
    "topics": "stretches of 40 to 400 keys around a common mean, borders where they fall: some cross blocks",
    "spikes": "normal keys, and 8 single keys that the last query looks for: needles",
}


def make_frame(
    name: str, length: int, *, rows: int, heads: int, dim: int, seed: int, device: str = "cpu"
) -> Frame:
    """Draw a context.

    Args:
        name: Of `DISTRIBUTIONS`.
        length: Keys N.
        rows: Query rows drawn, the last one besides.
        heads: Index heads H.
        dim: Head dimension D.
        seed: Decides everything.
        device: Where the tensors go; they are drawn on the CPU.

    Raises:
        UserError: no such distribution.
    """
    if name not in DISTRIBUTIONS:
        raise unknown_name("distribution", name, DISTRIBUTIONS)
    digest = hashlib.sha256(f"{name}/{VERSION}/{length}/{seed}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    places = spread_rows(length, rows, f"{name}/{seed}")
    q, noise = normal(len(places), heads, dim), normal(length, dim)
    weights = normal(len(places), heads).abs() * (heads * dim) ** -0.5
    keys, evidence = noise, ()
    if name == "local":
        keys = _drift(noise, 0.98)
    elif name == "topics":
        keys = _stretches(length, dim, generator) + 0.5 * noise
    elif name == "spikes":
        spots = torch.randperm(max(1, length - 1), generator=generator)[:8].sort().values
        wanted = torch.nn.functional.normalize(q[-1].mean(0), dim=0) * dim**0.5 * 2
        keys[spots] = wanted + 0.5 * normal(len(spots), dim)
        evidence = tuple(spots.tolist())
    ends = torch.tensor(places, dtype=torch.int32) + 1
    return Frame(0, q, keys, weights, ends, evidence=evidence).to(device)


def _drift(noise: Tensor, share: float) -> Tensor:
    """AR(1) with unit variance."""
    keys = noise.clone()
    keep = (1 - share**2) ** 0.5
    for place in range(1, len(keys)):
        keys[place] = share * keys[place - 1] + keep * noise[place]
    return keys


def _stretches(length: int, dim: int, generator: torch.Generator) -> Tensor:
    sizes: list[int] = []
    while sum(sizes) < length:
        sizes.append(int(torch.randint(40, 401, (1,), generator=generator)))
    means = torch.randn((len(sizes), dim), generator=generator)
    return means.repeat_interleave(torch.tensor(sizes), 0)[:length]
