"""`hisa-eval show-prompt`: the exact text that a model is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hisa_eval.cli import options

BRIEF = 400
"""Characters shown of each end with `--brief`."""


def show_prompt(
    task: Annotated[str, typer.Argument(help="niah, ruler, longbench or mini.", metavar="[TASK]")] = "niah",
    length: Annotated[
        str | None,
        typer.Option(
            "--length",
            help="Of the context in tokens, answer room included (niah, ruler).",
            metavar="LENGTH",
            show_default="4k",
        ),
    ] = None,
    depth: Annotated[
        float | None,
        typer.Option("--depth", help="Depth of the needle in per cent (niah).", show_default="50"),
    ] = None,
    index: Annotated[int, typer.Option("--index", help="Which sample or row, from 0.", min=0)] = 0,
    needle: options.Needle = None,
    distractors: options.Distractors = None,
    haystack: options.Haystack = None,
    suite: options.Suite = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            help="RULER's task, or LongBench's data set; of several, the first.",
            rich_help_panel=options.QUESTION,
            metavar="NAME",
            show_default="the suite's first",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Questions of RULER's qa_1 and qa_2, or LongBench's official files.",
            rich_help_panel=options.QUESTION,
            metavar="PATH",
        ),
    ] = None,
    partial: options.Partial = None,
    samples: options.Rows = None,
    truncate: options.Truncate = None,
    max_prompt_tokens: options.MaxPromptTokens = None,
    max_new_tokens: options.MaxNewTokens = None,
    model: options.ModelName = None,
    seed: options.Seed = None,
    brief: Annotated[bool, typer.Option("--brief", help="Only its ends and the needle.")] = False,
    as_json: options.Json = False,
) -> None:
    """Print the prompt of one sample exactly as a run with the same settings sends it.

    The text goes to standard output, what is known of it to standard error. Options mean what they mean to
    the command of the task; one that it does not have is an error.

    \b
    Examples
      hisa-eval show-prompt --brief
      hisa-eval show-prompt --needle multikey --length 8k --depth 25 > prompt.txt
      hisa-eval show-prompt ruler --tasks vt --length 8k
      hisa-eval show-prompt longbench --data LongBench/data.zip --tasks qasper --index 3
      hisa-eval show-prompt mini --tasks label --brief
    """
    from hisa_eval.cli.output import print_json, print_note
    from hisa_eval.run.prompt import facts_of_sample, sample_of_suite

    values: dict[str, Any] = {
        "length": length,
        "depth": depth,
        "needle": needle,
        "distractors": distractors,
        "haystack": haystack,
        "suite": suite,
        "tasks": tasks,
        "data": None if data is None else str(data),
        "partial": partial,
        "samples": samples,
        "truncate": truncate,
        "max_prompt_tokens": max_prompt_tokens,
        "max_new_tokens": max_new_tokens,
        "model": model,
        "seed": seed,
    }
    sample = sample_of_suite(task, values, index)
    facts = facts_of_sample(sample)
    text = sample.prompt
    if brief and len(text) > 2 * BRIEF:
        needles = [text[start:end] for start, end in sample.meta.get("needle_spans", ())]
        middle = "".join(f"\n[...]\n{one}" for one in needles)
        text = f"{text[:BRIEF]}{middle}\n[...]\n{text[-BRIEF:]}"
    if as_json:
        print_json({**facts, "prompt": text})
        return
    for name, value in facts.items():
        print_note(f"{name}: {value}")
    print(text)
