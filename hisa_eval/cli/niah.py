"""`hisa-eval niah`: needles in haystacks over a grid of lengths and depths, with several indexers."""

from __future__ import annotations

from typing import Any

from hisa_eval.cli import options
from hisa_eval.cli.carry_out import Manner, carry_out


def niah(
    lengths: options.Lengths = None,
    depths: options.Depths = None,
    samples: options.Samples = None,
    seed: options.Seed = None,
    needle: options.Needle = None,
    distractors: options.Distractors = None,
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
    """Hide needles at many depths of ever longer contexts and ask for them, once per indexer.

    Giving the same command again resumes a run that was stopped; nothing finished is computed twice.

    \b
    Examples
      hisa-eval niah
      hisa-eval niah --lengths 8k..128k --depths 5 --indexer dsa,hisa:ratio=4
      hisa-eval niah --needle multikey --distractors 100 --topk 512
      hisa-eval niah --haystack ~/essays --out runs/essays --json
      hisa-eval niah --config configs/paper.yaml --dry-run
    """
    from hisa_eval.cli.needs import show_needs
    from hisa_eval.cli.run_output import show_settings
    from hisa_eval.config.layers import layer
    from hisa_eval.config.niah import niah_settings
    from hisa_eval.run.niah import plan_niah

    flags: dict[str, Any] = {
        "lengths": lengths,
        "depths": depths,
        "samples": samples,
        "seed": seed,
        "needle": needle,
        "distractors": distractors,
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
    merged = layer(flags, config)
    settings = niah_settings(merged.values, merged.sources)
    if show_config:
        show_settings(settings, merged.sources, as_json)
        return
    if dry_run and show_needs(settings.model, settings.lengths, merged.engine, as_json):
        return
    manner = Manner(out, resume, threads, allow_failures, dry_run, with_report, quiet, as_json)
    carry_out(plan_niah(settings), manner)
