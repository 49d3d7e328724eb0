"""`hisa-eval longbench`: LongBench's official rows, or the generated suite mini, with several indexers."""

from __future__ import annotations

from typing import Any

from hisa_eval.cli import options
from hisa_eval.cli.carry_out import Manner, carry_out


def longbench(
    suite: options.Suite = None,
    tasks: options.DataSets = None,
    samples: options.Rows = None,
    seed: options.Seed = None,
    data: options.LongBenchData = None,
    partial: options.Partial = None,
    truncate: options.Truncate = None,
    max_prompt_tokens: options.MaxPromptTokens = None,
    code_similarity: options.CodeSimilarity = None,
    chat_template: options.ChatTemplate = None,
    thinking: options.Thinking = None,
    model: options.LongBenchModel = None,
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
    """Ask LongBench's official rows with the official prompts, once per indexer, and score them officially.

    Without --data or --suite it asks `mini`: generated questions in LongBench's schema that an embedded model
    can answer. They are not LongBench. Nothing is cut unless you say so. Giving the same command again
    resumes a run that was stopped.

    \b
    Examples
      hisa-eval longbench --indexer hisa
      hisa-eval longbench --data LongBench/data.zip --samples 20
      hisa-eval longbench --suite v1 --tasks qasper,code --indexer dsa,hisa:ratio=4
      hisa-eval longbench --suite e --truncate middle --max-prompt-tokens 31500
      hisa-eval longbench --suite v2 --data LongBench-v2/data.json --dry-run
    """
    from hisa_eval.cli.needs import show_needs
    from hisa_eval.cli.run_output import show_settings
    from hisa_eval.config.defaults import LONGBENCH
    from hisa_eval.config.layers import layer
    from hisa_eval.config.longbench import longbench_settings
    from hisa_eval.run.longbench import plan_longbench

    flags: dict[str, Any] = {
        "suite": suite,
        "tasks": tasks,
        "samples": samples,
        "seed": seed,
        "data": data,
        "partial": partial,
        "truncate": truncate,
        "max_prompt_tokens": max_prompt_tokens,
        "code_similarity": code_similarity,
        "chat_template": chat_template,
        "thinking": thinking,
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
    merged = layer(flags, config, LONGBENCH)
    settings = longbench_settings(merged.values, merged.sources)
    if show_config:
        show_settings(settings, merged.sources, as_json)
        return
    if dry_run and show_needs(settings.model, None, merged.engine, as_json):
        return
    manner = Manner(out, resume, threads, allow_failures, dry_run, with_report, quiet, as_json)
    carry_out(plan_longbench(settings), manner)
