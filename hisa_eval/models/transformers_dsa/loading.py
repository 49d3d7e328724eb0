"""How a checkpoint is loaded: its settings, where its weights go, and what can be wrong with it."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hisa_eval.errors import UserError
from hisa_eval.models.transformers_dsa.architectures import Architecture, architecture_of, quantisation

SPREADS = ("one", "layers", "tensor")


def settings_of(path: str) -> tuple[Architecture, Any]:
    """Architecture and transformers configuration of a checkpoint; FP8 weights will be dequantised.

    Raises:
        UserError: as `architecture_of`.

    Source: the released FP8 layout is e4m3 weights with `weight_scale_inv` of 128 × 128 blocks; dequantising
    needs no kernels from the hub.
    """
    from transformers import AutoConfig

    raw = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    architecture = architecture_of(raw, path)
    config = AutoConfig.from_pretrained(path)
    if quantisation(raw) == "fp8":
        config.quantization_config = {**raw["quantization_config"], "dequantize": True}
    return architecture, config


def placement(spread: str, device: str, n_layers: int) -> dict[str, Any]:
    """Arguments of `from_pretrained` that put weights where they go.

    Raises:
        UserError: a part is missing, or the processes are not there.
    """
    if spread == "one":
        return {}
    if importlib.util.find_spec("accelerate") is None:
        raise UserError(
            f"a model spread over {spread} needs accelerate", "pip install 'hisa-eval[several-gpus]'"
        )
    if spread == "layers":
        return {"device_map": layer_map(n_layers, torch.cuda.device_count() if device == "cuda" else 0)}
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        raise UserError(
            "tensor parallelism needs one process a GPU", "start them with torchrun --nproc-per-node N"
        )
    from transformers.distributed import DistributedConfig

    return {"distributed_config": DistributedConfig(tp_plan="auto")}


def layer_map(n_layers: int, n_gpus: int) -> dict[str, int | str]:
    """A `device_map` with equally many layers on each GPU; embedding first, head last; all on the CPU
    without one."""
    if n_gpus == 0:
        return {"": "cpu"}
    last = n_gpus - 1
    ends: dict[str, int | str] = {
        "model.embed_tokens": 0,
        "model.rotary_emb": 0,
        "model.norm": last,
        "lm_head": last,
    }
    return ends | {f"model.layers.{layer}": layer * n_gpus // n_layers for layer in range(n_layers)}


def input_device(model: Any) -> torch.device:
    """Where a model wants its tokens, also where weights are spread or offloaded."""
    hook = getattr(model.model.embed_tokens, "_hf_hook", None)
    device = getattr(hook, "execution_device", None)
    if device is not None:
        return torch.device(device)
    return next(model.parameters()).device


def stop_ids(model: Any) -> list[int]:
    """Tokens that end an answer, from the generation settings and the configuration."""
    found: list[int] = []
    for settings in (model.generation_config, model.config):
        eos = getattr(settings, "eos_token_id", None)
        found += eos if isinstance(eos, list) else [] if eos is None else [eos]
    return sorted(set(found))


@contextmanager
def loading_errors(path: str) -> Iterator[None]:
    """Say in one line why transformers cannot load a checkpoint."""
    try:
        yield
    except UserError:
        raise
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the weights of {path} do not fit: {_first_line(error)}",
            "use --spread layers with more GPUs, or see --dry-run",
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise UserError(
            f"transformers cannot load {path}: {_first_line(error)}",
            "check that config.json, the weights and their index belong together",
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
