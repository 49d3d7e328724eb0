"""`hisa-eval serve`: a vLLM server whose DSA indexer is ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hisa_eval.cli import options

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": False}


def serve(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Checkpoint with a DSA indexer: a folder, or OWNER/NAME.",
            rich_help_panel=options.MODEL,
            metavar="NAME",
        ),
    ],
    indexer: Annotated[
        str,
        typer.Option(
            "--indexer",
            help="Who selects, options inline: dsa, hisa or block-sparse.",
            rich_help_panel=options.MODEL,
            metavar="NAME",
        ),
    ] = "hisa",
    topk: Annotated[
        int | None,
        options.option(
            "topk", "Token budget k of the indexer.", options.MODEL, "K", "the model's own, or 2048"
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", help="Where it listens.", min=1, max=65535, rich_help_panel=options.RUN)
    ] = 8000,
    attest: Annotated[
        Path | None,
        typer.Option(
            "--attest",
            help="Folder in which every engine process states who selected, and for how many rows.",
            rich_help_panel=options.RUN,
            metavar="DIR",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the command.", rich_help_panel=options.RUN)
    ] = False,
) -> None:
    """Serve a model with vLLM, HISA or block-sparse selecting in place of its flat indexer.

    Prints the command with its environment, then runs it; what follows -- goes to vllm serve. Needs a Hopper
    GPU and vLLM 0.26 or 0.33 (pip install 'hisa-eval[serve]').

    \b
    Examples
      hisa-eval serve --model deepseek-ai/DeepSeek-V3.2 --indexer hisa -- --tensor-parallel-size 8
      hisa-eval serve --model FOLDER --indexer hisa:block_size=64,num_blocks=128 --dry-run
    """
    from hisa_eval.serving.command import serve_command

    command = serve_command(model, indexer, topk, port, attest, context.args)
    print(command, flush=True)
    if not dry_run:
        code = command.run()
        if code:
            raise typer.Exit(code if code > 0 else 128 - code)
