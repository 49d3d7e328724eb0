"""What the command measures: who takes part, and on which cases."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import deepgemm
from benchmarks.public_tilelang import Public
from benchmarks.topk import TopK
from hisa_kernels.measure import own
from hisa_kernels.measure.case import Case
from hisa_kernels.measure.pipeline import Contestant
from hisa_kernels.measure.references import reference

UNITS = {"k": 1024, "m": 1024 * 1024}


def length(text: str) -> int:
    """`8k`, `1m` or a plain number."""
    text = text.strip().lower()
    unit = UNITS.get(text[-1:], 1)
    return int(text[:-1] if unit > 1 else text) * unit


def lengths(text: str) -> list[int]:
    """`8k..128k` (doubling), `8k,64k`, or nothing.

    Raises:
        ValueError: malformed, or below 1.
    """
    found: list[int] = []
    for item in filter(None, text.split(",")):
        first, doubling, last = item.partition("..")
        found.append(length(first))
        while doubling and found[-1] < length(last):
            found.append(found[-1] * 2)
    if min(found, default=1) < 1:
        raise ValueError(f"a context of {min(found)} keys measures nothing (an empty list leaves a part out)")
    return sorted(set(found))


def cases_of(options: argparse.Namespace, dumps: Mapping[str, int] | None = None) -> list[Case]:
    """What is measured, the most important first, for time may run out.

    The grid of contexts on random inputs and on dumped ones, the cases that memory and attention are measured
    on, the grid with fewer queries, and the embedded model's shape.

    Args:
        options: Of the command line.
        dumps: Name of dumped inputs -> how many keys they hold.
    """
    shape: dict[str, Any] = {
        "heads": options.heads,
        "dim": options.dim,
        "dtype": options.dtype,
        "topk": options.topk,
        "block_size": options.block_size,
        "num_blocks": options.num_blocks,
    }
    most, *fewer = [int(part) for part in options.queries.split(",")]

    def grid(queries: int, inputs: str = "random", longest: int = 1 << 40) -> list[Case]:
        found = []
        for context in lengths(options.lengths):
            if queries <= context <= longest:
                case = Case(queries, context, **shape, inputs=inputs)
                found += [case, *([case.with_ratio(options.ratio)] if options.ratio else [])]
        return found

    found = grid(most)
    for name, longest in (dumps or {}).items():
        found += grid(most, name, longest)
    found += [Case(most, context, **shape) for context in lengths(options.memory)]
    latents: dict[str, Any] = {
        "heads": 128,
        "dim": 576,
        "dtype": "bf16",
        "topk": options.topk,
        "kind": "attention",
    }
    for queries in (most, *fewer):
        found += [Case(queries, context, **latents) for context in lengths(options.attention)]
    for queries in fewer:
        found += grid(queries)
    for context in lengths(options.decode):
        case = Case(options.batch, context, **shape, kind="decode")
        found += [case, *([case.with_ratio(options.ratio)] if options.ratio else [])]
    small = {**shape, "heads": 4, "dim": 64, "dtype": "bf16"}
    return found + [Case(most, context, **small) for context in lengths(options.nano)]


def contestants_of(options: argparse.Namespace) -> list[Contestant]:
    """Everybody who takes part, in the order of the tables; narrowed by `--methods`."""
    folder = Path(options.tilelang_examples) if options.tilelang_examples else None
    public = Public(folder)
    bounded: dict[str, TopK] = {"hisa_kernels top-k": own.bounded_topk}
    if folder is not None:
        bounded["public TileLang selector"] = public.selector
    found = [*deepgemm.contestants(bounded), *public.contestants(), *own.kernels()]
    if options.reference:
        found += reference()
    wanted = [part.strip().lower() for part in options.methods.split(",") if part.strip()]
    return [one for one in found if not wanted or any(part in one.name.lower() for part in wanted)]
