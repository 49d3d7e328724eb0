"""`hisa-eval fidelity`: how much of flat DSA's selection another indexer keeps."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hisa_eval.cli import options
from hisa_eval.config.defaults import FIDELITY


def fidelity(
    lengths: options.FidelityLengths = None,
    depths: Annotated[
        str | None,
        options.option(
            "depths",
            "Needle depths, one context each: a count, per cents or random:COUNT.",
            options.GRID,
            "SPEC",
            defaults=FIDELITY,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        options.option("samples", "Contexts per length and depth.", options.GRID, "N", defaults=FIDELITY),
    ] = None,
    rows: Annotated[
        int | None,
        options.option("rows", "Query rows compared in each context.", options.GRID, "N", defaults=FIDELITY),
    ] = None,
    seed: options.Seed = None,
    needle: options.Needle = None,
    distractors: options.Distractors = None,
    haystack: options.Haystack = None,
    inputs: Annotated[
        str | None,
        options.option(
            "inputs",
            "Recorded inputs in place of a model: a safetensors file, or a folder of them (see --dump).",
            options.INPUTS,
            "PATH",
            "none",
            FIDELITY,
        ),
    ] = None,
    synthetic: Annotated[
        str | None,
        options.option(
            "synthetic",
            "Distributions in place of a model: gaussian, local, topics, spikes.",
            options.INPUTS,
            "LIST",
            "none",
            FIDELITY,
        ),
    ] = None,
    heads: Annotated[
        int | None,
        options.option("heads", "Index heads of synthetic inputs.", options.INPUTS, "N", defaults=FIDELITY),
    ] = None,
    dim: Annotated[
        int | None,
        options.option("dim", "Head dimension of synthetic inputs.", options.INPUTS, "N", defaults=FIDELITY),
    ] = None,
    dump: Annotated[
        str | None,
        typer.Option(
            "--dump",
            help="Write inputs there and compare nothing: FOLDER/, or one that exists, gets a file for every "
            "context; FILE gets one of them (longest, deepest needle).",
            metavar="PATH",
            rich_help_panel=options.INPUTS,
        ),
    ] = None,
    model: options.ModelName = None,
    indexer: Annotated[
        str | None,
        options.option(
            "indexer",
            "Who is held against flat DSA, options inline: hisa,hisa:block_size=64,num_blocks=128.",
            options.MODEL,
            "LIST",
            defaults=FIDELITY,
        ),
    ] = None,
    run_with: Annotated[
        str | None,
        options.option(
            "run_with",
            "Who runs the model, options inline: all others select on its queries and keys.",
            options.MODEL,
            "INDEXER",
            defaults=FIDELITY,
        ),
    ] = None,
    topk: options.TopK = None,
    precisions: Annotated[
        str | None,
        options.option(
            "precisions", "Noise floor: f32, bf16, fp8 or none.", options.MODEL, "LIST", defaults=FIDELITY
        ),
    ] = None,
    attention: Annotated[
        bool | None,
        typer.Option(
            "--attention/--no-attention",
            help="Also compute the rows' dense attention.",
            rich_help_panel=options.MODEL,
            show_default="attention",
        ),
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    out: options.Out = None,
    resume: options.Resume = True,
    config: options.Config = None,
    threads: options.Threads = None,
    allow_failures: options.AllowFailures = False,
    with_report: options.WithReport = True,
    show_config: options.ShowConfig = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare selections with flat DSA's on the very same queries and keys, row by row.

    One indexer runs the model (--run-with), the others shadow it: they select and change nothing.
    IoU, recall, score mass, attention kept, top-1 hits and lost needles, on all rows and on rows that see
    more keys than an indexer's exact range, beside the noise floor of rounding. A needle is lost where the
    row that gives the first token of the answer's own text selects nothing of it: the prompt's last row, or
    the one that reads the space behind it, where that is a token. A dump file holds, for each layer L,
    layer.L.q (R, H, D), layer.L.k (N, D), layer.L.weights (R, H) and, if known, layer.L.attention (R, N);
    beside them ends (R) and evidence (E), int32. Its last row is the one that answers.

    \b
    Examples
      hisa-eval fidelity
      hisa-eval fidelity --lengths 8k..64k --indexer hisa,hisa:num_blocks=128 --haystack ~/essays
      hisa-eval fidelity --run-with hisa --indexer hisa,block-sparse
      hisa-eval fidelity --indexer index-cache:every=2,index-cache:over=hisa/block_size=64
      hisa-eval fidelity --dump nano.safetensors --lengths 16k --rows 256
      hisa-eval fidelity --inputs nano.safetensors
      hisa-eval fidelity --dump nano/ --lengths 8k,16k --rows 256
      hisa-eval fidelity --inputs nano/ --indexer hisa,hisa-multi
      hisa-eval fidelity --synthetic gaussian,topics --heads 64 --dim 128
    """
    from hisa_eval.cli.fidelity_output import carry_out_fidelity, write_dump_of
    from hisa_eval.cli.run_output import show_settings
    from hisa_eval.config.fidelity import fidelity_settings
    from hisa_eval.config.layers import layer
    from hisa_eval.run.fidelity import plan_fidelity

    flags: dict[str, Any] = {
        "lengths": lengths,
        "depths": depths,
        "samples": samples,
        "rows": rows,
        "seed": seed,
        "needle": needle,
        "distractors": distractors,
        "haystack": haystack,
        "inputs": inputs,
        "synthetic": synthetic,
        "heads": heads,
        "dim": dim,
        "model": model,
        "indexer": indexer,
        "run_with": run_with,
        "topk": topk,
        "precisions": precisions,
        "attention": attention,
        "device": device,
        "dtype": dtype,
    }
    merged = layer(flags, config, FIDELITY)
    settings = fidelity_settings(merged.values, merged.sources)
    if show_config:
        show_settings(settings, merged.sources, as_json)
        return
    run = plan_fidelity(settings)
    if dump is not None:
        write_dump_of(run, dump, quiet=quiet, as_json=as_json)
        return
    failed = carry_out_fidelity(
        run, out, resume=resume, threads=threads, with_report=with_report, quiet=quiet, as_json=as_json
    )
    if failed and not allow_failures:
        raise typer.Exit(1)
