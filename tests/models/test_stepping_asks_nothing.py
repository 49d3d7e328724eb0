"""What a CUDA graph cannot hold does not happen in a step: shown without a GPU, on a device without data."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hisa_eval.indexers.registry import parse
from hisa_eval.models import registry
from hisa_eval.models.transformers_dsa.cache import SequenceCache
from hisa_eval.models.transformers_dsa.runtime import Runtime
from hisa_eval.models.transformers_dsa.seams import load_swapped, placeholder_masks
from hisa_eval.models.transformers_dsa.stepping import stepper

META = torch.device("meta")
LENGTH = 5000
WAITING = ("_local_scalar_dense", "nonzero", "equal.default", "unique", "masked_select", "where.Scalar")
"""Operations that wait for a device, or copy a number to it, by a part of their names."""


class Watch(TorchDispatchMode):
    """Notes every operation that touches the host's memory or waits for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count += 1
        touched = [one for one in tree_leaves((args, kwargs, out)) if isinstance(one, Tensor)]
        if any(one.device != META for one in touched) or any(name in str(func) for name in WAITING):
            self.found.append(str(func))
        return out


@pytest.fixture(scope="module")
def model() -> tuple[Any, Runtime]:
    return load_swapped(str(registry.folder("nano")), torch.bfloat16, "meta")


@torch.inference_mode()
def watched(model: tuple[Any, Runtime], spec: str, *, look: bool = False) -> Watch:
    network, runtime = model
    config = network.config
    cache = SequenceCache(config.kv_lora_rank)
    cache.reserve(LENGTH + 100)
    for layer in range(config.num_hidden_layers):
        latents, rotated = (
            torch.zeros(1, 1, LENGTH, width, dtype=torch.bfloat16, device=META)
            for width in (config.kv_lora_rank, config.qk_rope_head_dim)
        )
        cache.update(latents, rotated, layer)
        cache.update_indexer(
            torch.zeros(1, LENGTH, config.index_head_dim, dtype=torch.bfloat16, device=META), layer
        )
    steps = stepper(
        network, runtime, cache, placeholder_masks(META), parse(spec), (LENGTH, LENGTH + 99), capture=False
    )
    assert steps is not None
    with Watch() as watch:
        steps._step()
        if look:
            torch.zeros(1).to(META)
    return watch


@pytest.mark.parametrize(
    "spec",
    [
        "dsa",
        "hisa",
        "hisa:num_blocks=39",
        "hisa:num_blocks=16,forced=none,forced_in_budget=false,pooling=max,block_score_dtype=bf16",
        "block-sparse",
    ],
)
def test_a_step_asks_the_host_nothing(model: tuple[Any, Runtime], spec: str) -> None:
    watch = watched(model, spec)
    assert watch.found == []
    assert watch.count > 200


def test_what_is_asked_would_be_seen(model: tuple[Any, Runtime]) -> None:
    assert watched(model, "dsa", look=True).found
