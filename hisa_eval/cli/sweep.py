"""`hisa-eval sweep`: which block size, budget and pooling to run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hisa_eval.cli import options
from hisa_eval.config.defaults import SWEEP

AXES = "HISA's options, each a list; every combination takes part"


def _axis(name: str, text: str, metavar: str = "LIST") -> Any:
    default = SWEEP[name]
    return options.option(name, text, AXES, metavar, "its own default" if default is None else str(default))


def sweep(
    block_size: Annotated[str | None, _axis("block_size", "Keys in a block.")] = None,
    num_blocks: Annotated[str | None, _axis("num_blocks", "Blocks kept, m.")] = None,
    ratio: Annotated[
        str | None, _axis("ratio", "Visible blocks over blocks kept; stands beside --num-blocks.")
    ] = None,
    pooling: Annotated[str | None, _axis("pooling", "mean, max.")] = None,
    forced: Annotated[str | None, _axis("forced", "none, first, first_last, first_last2.")] = None,
    forced_in_budget: Annotated[str | None, _axis("forced_in_budget", "true, false.")] = None,
    block_score_dtype: Annotated[str | None, _axis("block_score_dtype", "f32, bf16.")] = None,
    budgets: Annotated[
        str | None,
        options.option("budgets", "Token budgets k.", AXES, "LIST", "the model's own", SWEEP),
    ] = None,
    indexer: Annotated[
        str | None,
        options.option(
            "indexer",
            "Others beside the grid: hisa-adaptive:margin=0.2,misa:heads=2,index-cache,step-reuse.",
            options.MODEL,
            "LIST",
            defaults=SWEEP,
        ),
    ] = None,
    lengths: Annotated[
        str | None,
        options.option(
            "lengths", "Context lengths in tokens: 8k..128k, 4k,16k.", options.GRID, "SPEC", defaults=SWEEP
        ),
    ] = None,
    depths: Annotated[
        str | None,
        options.option(
            "depths",
            "Needle depths: a count, per cents or random:COUNT.",
            options.GRID,
            "SPEC",
            defaults=SWEEP,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        options.option("samples", "Samples per length and depth.", options.GRID, "N", defaults=SWEEP),
    ] = None,
    rows: Annotated[
        int | None,
        options.option("rows", "Query rows compared in each context.", options.GRID, "N", defaults=SWEEP),
    ] = None,
    seed: options.Seed = None,
    inputs: Annotated[
        str | None,
        options.option(
            "inputs",
            "Recorded inputs in place of the grid's contexts: a safetensors file, or a folder of them (see "
            "hisa-eval fidelity --dump). With --no-accuracy.",
            options.INPUTS,
            "PATH",
            "none",
            SWEEP,
        ),
    ] = None,
    accuracy: Annotated[
        bool | None,
        typer.Option(
            "--accuracy/--no-accuracy",
            help="Also ask the model for the needles.",
            rich_help_panel=options.QUESTION,
            show_default="accuracy",
        ),
    ] = None,
    needle: options.Needle = None,
    distractors: options.Distractors = None,
    haystack: options.Haystack = None,
    model: options.ModelName = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    out: options.Out = None,
    config: options.Config = None,
    threads: options.Threads = None,
    allow_failures: options.AllowFailures = False,
    dry_run: options.DryRun = False,
    show_config: options.ShowConfig = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Hold a grid of settings against accuracy, fidelity and cost, and say which of them nothing beats.

    The folder holds one needle run and one comparison for each token budget; giving the same command again
    resumes both. `--ratio none` leaves the ratios away. An indexer that acts while decoding (step-reuse) is
    asked for needles alone.

    \b
    Examples
      hisa-eval sweep
      hisa-eval sweep --block-size 32,64,128 --num-blocks 32,64,128 --ratio none --lengths 16k,32k
      hisa-eval sweep --budgets 512,1024,2048 --indexer hisa-multi,hisa-overlap,hisa-adaptive
      hisa-eval sweep --indexer index-cache,step-reuse,step-reuse:over=hisa/block_size=64
      hisa-eval sweep --budgets 512,2048 --dry-run
      hisa-eval sweep --no-accuracy --inputs dumps/ --indexer hisa-multi,misa:heads=2
      hisa-eval sweep --no-accuracy --pooling mean,max --forced none,first_last
    """
    from hisa_eval.cli.needs import show_needs
    from hisa_eval.cli.run_output import show_settings
    from hisa_eval.cli.sweep_forecast import show_sweep_forecast
    from hisa_eval.cli.sweep_output import carry_out_sweep
    from hisa_eval.config.layers import layer
    from hisa_eval.config.sweep import sweep_settings
    from hisa_eval.run.sweep import plan_sweep

    flags: dict[str, Any] = {
        "lengths": lengths,
        "depths": depths,
        "samples": samples,
        "rows": rows,
        "inputs": inputs,
        "seed": seed,
        "needle": needle,
        "distractors": distractors,
        "haystack": haystack,
        "accuracy": accuracy,
        "budgets": budgets,
        "block_size": block_size,
        "num_blocks": num_blocks,
        "ratio": ratio,
        "pooling": pooling,
        "forced": forced,
        "forced_in_budget": forced_in_budget,
        "block_score_dtype": block_score_dtype,
        "indexer": indexer,
        "model": model,
        "device": device,
        "dtype": dtype,
    }
    merged = layer(flags, config, SWEEP)
    settings = sweep_settings(merged.values, merged.sources)
    if show_config:
        show_settings(settings, merged.sources, as_json)
        return
    if dry_run:
        if not show_needs(settings.model, settings.lengths, merged.engine, as_json):
            show_sweep_forecast(plan_sweep(settings), out, threads=threads, quiet=quiet, as_json=as_json)
        return
    failed = carry_out_sweep(plan_sweep(settings), out, threads=threads, quiet=quiet, as_json=as_json)
    if failed and not allow_failures:
        raise typer.Exit(1)
