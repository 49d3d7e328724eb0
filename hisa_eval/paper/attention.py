"""Figure 4: where the row that gives the answer's first token attends to, layer by layer.

A space before the answer that is a token of its own is not taken for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from hisa_eval.errors import UserError
from hisa_eval.paper.figures import draw_attention
from hisa_eval.paper.item import Item
from hisa_eval.report.page import Picture
from hisa_eval.report.table import Cell, Table

NAME = "F4"
TITLE = "Attention of the first output token"
BINS = 128
_LAYER = re.compile(r"layer\.(\d+)\.attention")


def attention_item(dumps: Sequence[Path]) -> Item:
    """Figure 4 from dumps of `hisa-eval fidelity --dump`, whose last row is the one that answers."""
    pictures, tables = {}, []
    for number, path in enumerate(dumps, 1):
        layers, mass, n_keys, where = read_attention(path)
        name = "F4-attention" if len(dumps) == 1 else f"F4-attention-{number}"
        pictures[name] = Picture(
            partial(draw_attention, mass, layers, n_keys, where), "Attention by token position and layer"
        )
        tables.append(_table(name, layers, mass, n_keys, where))
    text = "" if pictures else "No dump was given (hisa-eval fidelity --dump FILE.safetensors --rows 1)."
    return Item(NAME, TITLE, pictures, tables, (), text)


def read_attention(path: Path) -> tuple[list[int], np.ndarray, int, str]:
    """Attention of a dump's last row in stretches of positions.

    Returns:
        Layers, `[layers, bins]` shares, the number of positions, and where they come from.

    Raises:
        UserError: the file is damaged or holds no attention.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            facts = file.metadata() or {}
            layers = sorted(int(found[1]) for name in file.keys() if (found := _LAYER.fullmatch(name)))  # noqa: SIM118
            rows = [file.get_tensor(f"layer.{layer}.attention")[-1] for layer in layers]
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is no safetensors file ({' '.join(str(error).split())})",
            "write it again: fidelity --dump",
        ) from None
    if not rows:
        raise UserError(f"{path} holds no attention", "write it with hisa-eval fidelity --attention --dump")
    n_keys = len(rows[0])
    edges = np.linspace(0, n_keys, min(BINS, n_keys) + 1).astype(int)
    mass = np.stack([np.add.reduceat(row.astype(float), edges[:-1]) for row in rows])
    model = facts.get("model") or "inputs of a file"
    where = f"{model}, {n_keys:,} tokens, a needle prompt and not the paper's code sample of LongBench"
    return layers, mass, n_keys, where


def _table(name: str, layers: Sequence[int], mass: np.ndarray, n_keys: int, where: str) -> Table:
    quarter = mass.shape[1] // 4
    parts = [
        mass[:, place * quarter : (place + 1) * quarter if place < 3 else None].sum(1) for place in range(4)
    ]
    rows = [
        [Cell(str(layer), layer), *(Cell(f"{part[at]:.3f}", float(part[at])) for part in parts)]
        for at, layer in enumerate(layers)
    ]
    data = pd.DataFrame(
        {"layer": layer, "bin": place, "of": mass.shape[1], "attention": mass[at, place]}
        for at, layer in enumerate(layers)
        for place in range(mass.shape[1])
    )
    notes = [f"Measured on: {where}; one prompt, mean over heads. The paper's figure states no numbers."]
    columns = ["layer", "first quarter", "second", "third", "last quarter"]
    return Table(name, f"Figure 4, attention over {n_keys:,} positions", columns, rows, data, notes)
