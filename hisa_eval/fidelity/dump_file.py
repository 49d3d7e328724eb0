"""Files of indexer inputs, so that selections can be compared without the model that made them.

Layout (safetensors), for every recorded layer L:

    layer.L.q          [R, H, D]   queries of R rows, f32 or bf16
    layer.L.k          [N, D]      all keys of the sequence
    layer.L.weights    [R, H]      gates f32, softmax scale and H^-0.5 folded in
    layer.L.attention  [R, N]      optional: dense attention, mean over heads
    ends               [R] int32   one past each row's last visible key; without it the rows are the last R
    evidence           [E] int32   optional: positions of the tokens that hold the answer
    lead_in            [1] int32   optional: tokens behind the prompt that the last row has read, see `Frame`

The layout of `hisa-eval latency --dump-inputs` (`q`, `k`, `weights` of one layer) is read as well.
Metadata is text and tells where the file comes from; `length` and `depth` of a context are read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hisa_eval.errors import UserError
from hisa_eval.fidelity.frame import Frame, spread_rows

_LAYER = re.compile(r"layer\.(\d+)\.q")
_FIX = "see the layout in `hisa-eval fidelity --help`"


def write_dump(path: Path, frames: Sequence[Frame], metadata: Mapping[str, Any]) -> None:
    """Write the layers of one context.

    Args:
        path: Safetensors file.
        frames: One a layer, all with the same rows.
        metadata: Facts for people.

    Raises:
        UserError: the file cannot be written.
    """
    tensors = {"ends": frames[0].ends}
    if frames[0].evidence:
        tensors["evidence"] = torch.tensor(frames[0].evidence, dtype=torch.int32)
    if frames[0].lead_in:
        tensors["lead_in"] = torch.tensor([frames[0].lead_in], dtype=torch.int32)
    for frame in frames:
        for name in ("q", "k", "weights", "attention"):
            value = getattr(frame, name)
            if value is not None:
                tensors[f"layer.{frame.layer}.{name}"] = value
    save_tensors(path, tensors, metadata)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors with text metadata.

    Raises:
        UserError: the file cannot be written.
    """
    from safetensors.torch import save_file

    if path.is_dir():
        raise UserError(f"{path} is a folder", "name a file, as in inputs.safetensors")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        own = {name: one.cpu().clone().contiguous() for name, one in tensors.items()}
        save_file(own, str(path), metadata={name: str(value) for name, value in metadata.items()})
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror or error})", "name another file") from error


def read_facts(path: Path) -> dict[str, str]:
    """The metadata of a file.

    Raises:
        UserError: it is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _no_file(path, error) from None


def read_dump(path: Path, *, rows: int, seed: int) -> list[Frame]:
    """The layers of a file, with at most `rows` of its rows and the last one.

    Args:
        path: The file.
        rows: Rows drawn, spread evenly.
        seed: Decides the draw.

    Raises:
        UserError: no such file, or its tensors do not fit together.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            names = set(file.keys())
            layers = sorted(int(found[1]) for name in names if (found := _LAYER.fullmatch(name)))
            prefixes = {layer: f"layer.{layer}." for layer in layers}
            if not layers and "q" in names:
                prefixes = {0: ""}
            if not prefixes:
                raise UserError(f"{path} holds no indexer inputs (found {sorted(names)[:4]})", _FIX)
            ends = file.get_tensor("ends").int() if "ends" in names else None
            evidence = tuple(file.get_tensor("evidence").tolist()) if "evidence" in names else ()
            lead_in = file.get_tensor("lead_in").flatten().tolist() if "lead_in" in names else [0]
            if len(lead_in) != 1 or lead_in[0] < 0:
                raise UserError(f"{path}: `lead_in` must be one count of tokens, not {lead_in[:4]}", _FIX)
            frames = [
                _frame(file, names, path, layer, prefix, ends, evidence, rows, seed)
                for layer, prefix in prefixes.items()
            ]
            return [replace(frame, lead_in=int(lead_in[0])) for frame in frames]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist", "write it first: hisa-eval fidelity --dump FILE") from None
    except (SafetensorError, OSError) as error:
        raise _no_file(path, error) from None


def _no_file(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is no safetensors file ({' '.join(str(error).split())})", _FIX)


def _frame(
    file: Any,
    names: set[str],
    path: Path,
    layer: int,
    prefix: str,
    ends: Tensor | None,
    evidence: tuple[int, ...],
    rows: int,
    seed: int,
) -> Frame:
    missing = [name for name in ("k", "weights") if prefix + name not in names]
    if missing:
        raise UserError(f"{path} has no {prefix}{missing[0]}", _FIX)
    parts = {name: file.get_tensor(prefix + name) for name in ("q", "k", "weights")}
    q, k, weights = parts["q"], parts["k"], parts["weights"].float()
    shapes = [list(one.shape) for one in (q, k, weights)]
    if q.ndim != 3 or k.ndim != 2 or k.shape[1] != q.shape[2] or tuple(weights.shape) != tuple(q.shape[:2]):
        raise UserError(
            f"{path}: {prefix}q, k, weights have shapes {shapes}", "pass [R, H, D], [N, D], [R, H]"
        )
    n_rows, n_keys = q.shape[0], k.shape[0]
    if ends is None:
        if n_rows > n_keys:
            raise UserError(f"{path} holds {n_rows} rows of {n_keys} keys", "add the tensor `ends`")
        ends = torch.arange(n_keys - n_rows + 1, n_keys + 1, dtype=torch.int32)
    if tuple(ends.shape) != (n_rows,) or bool(((ends < 1) | (ends > n_keys)).any()):
        raise UserError(f"{path}: `ends` must be {n_rows} values from 1 to {n_keys}", _FIX)
    if not all(bool(torch.isfinite(one.float()).all()) for one in (q, k, weights)):
        raise UserError(f"{path}: layer {layer} holds NaN or infinity", "dump it again")
    attention = file.get_tensor(f"{prefix}attention").float() if f"{prefix}attention" in names else None
    if attention is not None and tuple(attention.shape) != (n_rows, n_keys):
        raise UserError(f"{path}: {prefix}attention has shape {list(attention.shape)}", "pass [R, N]")
    whole = Frame(layer, q.float(), k.float(), weights, ends, attention, evidence)
    return whole if n_rows <= rows + 1 else whole.rows(torch.tensor(spread_rows(n_rows, rows, seed)))
