"""`hisa-eval ruler`: RULER's tasks over a grid of lengths, with several indexers."""

from __future__ import annotations

from typing import Any

from hisa_eval.cli import options
from hisa_eval.cli.carry_out import Manner, carry_out


def ruler(
    lengths: options.RulerLengths = None,
    tasks: options.RulerTasks = None,
    samples: options.RulerSamples = None,
    seed: options.Seed = None,
    data: options.RulerData = None,
    haystack: options.Haystack = None,
    max_new_tokens: options.MaxNewTokens = None,
    model: options.ModelName = None,
    indexer: options.Indexers = None,
    topk: options.TopK = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    spread: options.Spread = None,
    tokenizer: options.TokenizerName = None,
    label: options.Label = None,
    concurrency: options.Concurrency = None,
    probe: options.Probe = None,
    out: options.Out = None,
    resume: options.Resume = True,
    config: options.Config = None,
    threads: options.Threads = None,
    allow_failures: options.AllowFailures = False,
    dry_run: options.DryRun = False,
    with_report: options.WithReport = True,
    show_config: options.ShowConfig = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Ask RULER's thirteen tasks at exact lengths, once per indexer, and average as RULER does.

    The questions of qa_1 and qa_2 are not shipped: without --data those two are left out. Giving the same
    command again resumes a run that was stopped.

    \b
    Examples
      hisa-eval ruler
      hisa-eval ruler --lengths 8k..128k --samples 10 --indexer dsa,hisa:ratio=4
      hisa-eval ruler --tasks niah,vt --lengths 16k --topk 512
      hisa-eval ruler --data ~/squad --haystack ~/essays --lengths 4k..128k --dry-run
    """
    from hisa_eval.cli.needs import show_needs
    from hisa_eval.cli.run_output import show_settings
    from hisa_eval.config.defaults import RULER
    from hisa_eval.config.layers import layer
    from hisa_eval.config.ruler import ruler_settings
    from hisa_eval.run.ruler import plan_ruler

    flags: dict[str, Any] = {
        "lengths": lengths,
        "tasks": tasks,
        "samples": samples,
        "seed": seed,
        "data": data,
        "haystack": haystack,
        "max_new_tokens": max_new_tokens,
        "model": model,
        "indexer": indexer,
        "topk": topk,
        "device": device,
        "dtype": dtype,
        "spread": spread,
        "tokenizer": tokenizer,
        "label": label,
        "concurrency": concurrency,
        "probe": probe,
    }
    merged = layer(flags, config, RULER)
    settings = ruler_settings(merged.values, merged.sources)
    if show_config:
        show_settings(settings, merged.sources, as_json)
        return
    if dry_run and show_needs(settings.model, settings.lengths, merged.engine, as_json):
        return
    manner = Manner(out, resume, threads, allow_failures, dry_run, with_report, quiet, as_json)
    carry_out(plan_ruler(settings), manner)
