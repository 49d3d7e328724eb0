"""How a TileLang kernel is declared, compiled when first used, and lowered where there is no GPU."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tilelang
from tilelang import tvm

ARCHITECTURE = "sm_90a"
"""Hopper with its own matrix instructions; the only architecture that the kernels are written for."""

KERNELS: dict[str, Kernel] = {}
"""Every declared kernel by name; filled as the modules of this package are imported."""


class Kernel:
    """A family of kernels: one TileLang program for each set of compile-time parameters.

    Lengths and query counts are symbolic in the program, so that one compilation serves all of them.

    Args:
        program: Gives the program for some parameters.
        examples: Parameters that stand for all that are used; these are lowered in tests.
        options: TileLang pass options.
    """

    def __init__(
        self,
        program: Callable[..., Any],
        examples: Sequence[Mapping[str, Any]],
        options: Mapping[Any, Any] | None,
    ) -> None:
        functools.update_wrapper(self, program)
        self.name = program.__name__
        self.examples = tuple(examples)
        self.program = program
        self._options = dict(options or {})
        self._compiled: dict[tuple[tuple[str, Any], ...], Any] = {}
        self._lock = threading.Lock()

    def __call__(self, **parameters: Any) -> Any:
        """The kernel for `parameters`, compiled once a process (TileLang keeps a copy on disk)."""
        key = tuple(sorted(parameters.items()))
        found = self._compiled.get(key)
        if found is None:
            with self._lock:
                found = self._compiled.get(key)
                if found is None:
                    program = self.program(**parameters)
                    found = tilelang.compile(program, pass_configs=self._options)
                    self._compiled[key] = found
        return found

    def source(self, **parameters: Any) -> str:
        """CUDA source for `parameters`, lowered for Hopper; needs neither a GPU nor a compiler."""
        target = tvm.target.Target({"kind": "cuda", "arch": ARCHITECTURE})
        with target, tvm.transform.PassContext(opt_level=3, config=self._options):
            return str(tilelang.lower(self.program(**parameters), target=target).kernel_source)


def kernel(
    *, examples: Sequence[Mapping[str, Any]], options: Mapping[Any, Any] | None = None
) -> Callable[[Callable[..., Any]], Kernel]:
    """Declares a kernel family.

    Args:
        examples: See `Kernel`.
        options: See `Kernel`.
    """

    def declare(program: Callable[..., Any]) -> Kernel:
        made = Kernel(program, examples, options)
        KERNELS[made.name] = made
        return made

    return declare
