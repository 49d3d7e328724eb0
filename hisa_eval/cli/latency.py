"""`hisa-eval latency`: what flat and hierarchical selection cost, stage by stage or in whole answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hisa_eval.cli import options
from hisa_eval.cli.latency_modes import given, measure_end_to_end, redraws_end_to_end, refuse_strangers
from hisa_eval.config.defaults import END_TO_END

SHAPE = "Shape of a selection"
WHOLE = "Whole answers (--end-to-end)"


def _whole(name: str, text: str, metavar: str, shown: str | None = None) -> Any:
    return options.option(name, text, WHOLE, metavar, shown, END_TO_END)


def latency(
    context: typer.Context,
    end_to_end: Annotated[
        bool,
        typer.Option(
            "--end-to-end",
            help="Time whole answers of a model in place of its selections.",
            rich_help_panel=WHOLE,
        ),
    ] = False,
    indexer: Annotated[
        str | None,
        _whole("indexer", "Who selects, side by side with flat DSA, options inline.", "LIST"),
    ] = None,
    repetitions: Annotated[
        int | None,
        _whole("repetitions", "Timed answers of everybody at every length.", "N", "5, on a CPU 3"),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        _whole("max_new_tokens", "Tokens of every answer.", "N", "128, on a CPU 32"),
    ] = None,
    stock: Annotated[
        bool | None,
        typer.Option(
            "--stock/--no-stock",
            help="Also time transformers' own model, unchanged.",
            rich_help_panel=WHOLE,
            show_default="on a CPU",
        ),
    ] = None,
    spread: Annotated[
        str | None, _whole("spread", "one GPU, or layers: some on each of several.", "HOW")
    ] = None,
    seed: Annotated[int | None, _whole("seed", "Decides the prompts.", "N")] = None,
    resume: options.Resume = True,
    config: options.Config = None,
    threads: options.Threads = None,
    show_config: options.ShowConfig = False,
    lengths: Annotated[
        str | None,
        typer.Option(
            "--lengths",
            help="Context lengths in tokens: 8k..128k doubles, 4k,16k,1m lists, 8k:64k:8k steps; k = 1024.",
            metavar="SPEC",
            rich_help_panel=options.GRID,
            show_default="8k..128k, on a CPU 4k..16k",
        ),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(
            "--queries",
            help="Queries at the end of each context.",
            min=1,
            metavar="N",
            rich_help_panel=options.GRID,
            show_default="4096, on a CPU 64",
        ),
    ] = None,
    num_blocks: Annotated[
        int,
        typer.Option(
            "--num-blocks",
            help="Fixed budget of blocks, m.",
            min=1,
            metavar="N",
            rich_help_panel=options.GRID,
        ),
    ] = 64,
    ratio: Annotated[
        float,
        typer.Option(
            "--ratio",
            help="Second budget: blocks of the context over this; 0 for none.",
            min=0,
            metavar="X",
            rich_help_panel=options.GRID,
        ),
    ] = 4.0,
    heads: Annotated[
        int, typer.Option("--heads", help="Index heads.", min=1, metavar="N", rich_help_panel=SHAPE)
    ] = 64,
    dim: Annotated[
        int, typer.Option("--dim", help="Head dimension.", min=1, metavar="N", rich_help_panel=SHAPE)
    ] = 128,
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype",
            help="Of queries and keys: fp8, bf16 or f32; of a model with --end-to-end: auto, bf16 or f32.",
            metavar="NAME",
            rich_help_panel=SHAPE,
            show_default="fp8, auto",
        ),
    ] = "fp8",
    topk: Annotated[
        int,
        typer.Option(
            "--topk",
            help="Token budget k.",
            min=1,
            metavar="K",
            rich_help_panel=SHAPE,
            show_default="2048, a model's own",
        ),
    ] = 2048,
    block_size: Annotated[
        int, typer.Option("--block-size", help="Tokens a block.", min=1, metavar="N", rich_help_panel=SHAPE)
    ] = 128,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs",
            help="A model's own queries and keys, from --dump-inputs, in place of random ones.",
            metavar="FILE",
            rich_help_panel=SHAPE,
        ),
    ] = None,
    dump_inputs: Annotated[
        Path | None,
        typer.Option(
            "--dump-inputs",
            help="Write a model's queries and keys at the longest length there, and time nothing.",
            metavar="FILE",
            rich_help_panel=options.MODEL,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Who answers, or whose inputs: hisa-eval list models, a folder or OWNER/NAME.",
            metavar="NAME",
            rich_help_panel=options.MODEL,
        ),
    ] = "nano",
    layer: Annotated[
        int,
        typer.Option(
            "--layer", help="Of which layer, with --dump-inputs.", metavar="N", rich_help_panel=options.MODEL
        ),
    ] = 0,
    device: Annotated[
        str,
        typer.Option("--device", help="auto, cpu or cuda.", metavar="NAME", rich_help_panel=options.RUN),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder of the results, new or empty; an unfinished end-to-end measurement is taken up.",
            metavar="DIR",
            rich_help_panel=options.RUN,
            show_default="results/latency-<time>, results/end-to-end-<time>-<hash>",
        ),
    ] = None,
    from_dir: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Draw tables and figures of a finished measurement again, peers of kernels/benchmarks too.",
            metavar="DIR",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Time flat and hierarchical selection over a range of contexts, stage by stage, top-k included.

    Every choice is first held against the f32 reference; what fails is RED and has no time. On a GPU the
    kernels are timed, on a CPU the reference operators at small sizes; peers by kernels/benchmarks.

    With --end-to-end whole answers of a model: time to first token, time per token, throughput, peak memory
    and the break-even length, indexers taking turns. Where an indexer must select as flat DSA does, its
    tokens must be flat DSA's, or it is RED and has no time.

    \b
    Examples
      hisa-eval latency
      hisa-eval latency --lengths 8k..128k --queries 1024 --out runs/latency
      hisa-eval latency --dump-inputs nano.safetensors --lengths 64k --layer 1 --queries 4096
      hisa-eval latency --inputs nano.safetensors --lengths 8k..64k
      hisa-eval latency --from results/reference/h200-kernels
      hisa-eval latency --end-to-end
      hisa-eval latency --end-to-end --indexer hisa,hisa:block_size=64,misa --lengths 4k..64k
    """
    if from_dir is None:
        refuse_strangers(context, end_to_end=end_to_end)
    elif redraws_end_to_end(from_dir, as_json=as_json):
        return
    if end_to_end:
        flags: dict[str, Any] = {
            "lengths": lengths,
            "repetitions": repetitions,
            "max_new_tokens": max_new_tokens,
            "stock": stock,
            "spread": spread,
            "indexer": indexer,
            "seed": seed,
            **given(context, {"model": model, "device": device, "dtype": dtype, "topk": topk}),
        }
        measure_end_to_end(
            flags,
            out,
            config=config,
            resume=resume,
            threads=threads,
            show_config=show_config,
            quiet=quiet,
            as_json=as_json,
        )
        return
    from hisa_eval.cli.latency_output import make_teller, show_dump, show_latency
    from hisa_eval.config.grammar import parse_lengths
    from hisa_eval.latency.settings import LENGTHS, checked_device, latency_settings

    if from_dir is not None:
        show_latency(from_dir, as_json=as_json, quiet=quiet)
        return
    from hisa_eval.latency.study import latency_folder, measure_latency
    from hisa_eval.run.device import resolve_device

    place = resolve_device(checked_device(device))
    if dump_inputs is not None:
        from hisa_eval.latency.dump import dump_inputs as write_dump

        longest = parse_lengths(lengths or LENGTHS[place])[-1]
        written = write_dump(
            dump_inputs, model=model, length=longest, layer=layer, queries=queries or 4096, device=place
        )
        show_dump(written, as_json=as_json)
        return
    settings = latency_settings(
        place,
        lengths,
        queries,
        heads=heads,
        dim=dim,
        dtype=dtype,
        topk=topk,
        block_size=block_size,
        num_blocks=num_blocks,
        ratio=ratio or None,
        inputs=inputs,
    )
    folder = latency_folder(out)
    measure_latency(settings, folder, make_teller(silent=quiet or as_json))
    failed = show_latency(folder, as_json=as_json, quiet=quiet)
    if failed:
        raise typer.Exit(1)
