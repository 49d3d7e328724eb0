"""The command that starts vLLM with an indexer of ours, and its environment."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hisa_eval.errors import UserError
from hisa_eval.models import checkpoint
from hisa_eval.models import registry as models
from hisa_eval.models.openai_server.facts import is_address
from hisa_eval.serving.settings import ATTEST, DEFAULT_TOPK, INDEXER, TOPK, serving


@dataclass(frozen=True)
class Command:
    """A command line with what it needs in its environment.

    Attributes:
        environment: Variables that are set for it.
        words: Program and arguments.
    """

    environment: dict[str, str]
    words: list[str]

    def __str__(self) -> str:
        """As it is typed into a shell."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*settings, *map(shlex.quote, self.words)])

    def run(self) -> int:
        """Runs it to its end.

        Returns:
            Its exit code.

        Raises:
            UserError: vLLM is not installed beside this interpreter.
        """
        if importlib.util.find_spec("vllm") is None:
            raise UserError(
                "vLLM is not installed here",
                "pip install 'hisa-eval[serve]', or --dry-run only prints the command",
            )
        return subprocess.run(self.words, env={**os.environ, **self.environment}, check=False).returncode


def serve_command(
    model: str, indexer: str, topk: int | None, port: int, attest: Path | None, more: Sequence[str]
) -> Command:
    """What starts a server that selects with an indexer.

    Args:
        model: Folder of a checkpoint, or its name on the hub, which vLLM fetches.
        indexer: Who selects, options inline.
        topk: Token budget k; by default that of the model where its config.json is here, else 2048.
        port: Where the server listens.
        attest: Folder in which every process of the engine states what ran.
        more: Further arguments of `vllm serve`.

    Raises:
        UserError: an argument cannot be served.
    """
    budget = _budget(model, topk)
    asked = serving(indexer, budget)
    environment = {INDEXER: indexer.strip(), TOPK: str(asked.topk)}
    if attest is not None:
        environment[ATTEST] = str(attest.expanduser().resolve())
    return Command(environment, [_program(), "serve", model, "--port", str(port), *more])


def _budget(model: str, topk: int | None) -> int:
    """The token budget; what a checkpoint that is here says must agree with what is asked for."""
    if is_address(model):
        raise UserError(f"--model {model} is a server already", "name a folder, or OWNER/NAME on the hub")
    if not checkpoint.is_reference(model):
        known = "is embedded: its indexer has not the shape that vLLM's kernels take"
        what = known if model in models.available() else "is no checkpoint"
        raise UserError(f"--model {model} {what}", "name a folder, or OWNER/NAME on the hub")
    own = None
    if Path(model).expanduser().is_dir():
        own = checkpoint.read_config(checkpoint.find(model)).get("index_topk")
        if own is None:
            raise UserError(
                f"--model {model} has no index_topk in its config.json", "serve a model with a DSA indexer"
            )
    if own is not None and topk is not None and topk != own:
        raise UserError(
            f"--topk {topk} is not what --model {model} selects, {own}",
            f"leave --topk out, or pass --hf-overrides '{{\"index_topk\": {topk}}}' of vLLM with a hub name",
        )
    return int(own or topk or DEFAULT_TOPK)


def _program() -> str:
    """vLLM's program: the one beside this interpreter, or the one on the path."""
    beside = Path(sys.executable).with_name("vllm")
    return str(beside) if beside.is_file() else shutil.which("vllm") or "vllm"
