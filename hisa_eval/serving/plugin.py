"""The entry point of vLLM's plug-in group `vllm.general_plugins`; does nothing unless it is asked."""

from __future__ import annotations

import atexit
import importlib
import importlib.metadata
import logging
from typing import TYPE_CHECKING, Any

from hisa_eval.errors import UserError
from hisa_eval.serving.settings import Serving, from_environment
from hisa_eval.serving.signatures import MODULE, layout_of

if TYPE_CHECKING:
    from hisa_eval.serving.hooks import Hooks

_installed: Hooks | None = None


def register() -> None:
    """Makes vLLM's DSA indexer select as `HISA_EVAL_INDEXER` says; called in every process of the engine.

    A second call does nothing.

    Raises:
        UserError: the settings cannot be served, or the installed vLLM is not known.
    """
    global _installed
    serving = from_environment()
    if serving is None or _installed is not None:
        return
    _installed = _install(serving)
    logging.getLogger("vllm.hisa_eval").info(
        "hisa-eval: %s selects, k = %d, prefill logits %s",
        serving.indexer.label,
        serving.topk,
        _installed.attestation.layout,
    )


def attestation() -> dict[str, Any] | None:
    """What ran in this process, or None where the plug-in does nothing; waits for the device."""
    return None if _installed is None else _installed.attestation.facts()


def _install(serving: Serving) -> Hooks:
    module = importlib.import_module(MODULE)
    engine = importlib.metadata.version("vllm")
    layout = layout_of(module, engine)
    from hisa_eval.serving.hooks import DECODE_TOPK, Hooks

    if serving.may_fall_short and not hasattr(module, DECODE_TOPK):
        raise UserError(
            f"{serving.indexer.label} can leave a row fewer than k = {serving.topk} candidates, and the "
            f"decode top-k of vLLM {engine} would fill up with others",
            "add one block (num_blocks), or install vLLM 0.33",
        )
    hooks = Hooks(module, serving, layout, engine)
    hooks.install()
    atexit.register(hooks.attestation.write)
    return hooks
