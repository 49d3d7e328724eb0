"""`hisa-eval show-prompt`: the exact text that a model is sent."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hisa_eval.cli import options

BRIEF = 400
"""Characters shown of each end with `--brief`."""


def show_prompt(
    task: Annotated[
        str,
        typer.Option(
            "--task",
            help="As tables name it: niah, ruler/vt, longbench/qasper, longbench-v2, mini/lookup.",
            metavar="NAME",
        ),
    ] = "niah",
    length: Annotated[
        str | None,
        typer.Option(
            "--length",
            help="niah, ruler: of the context in tokens, answer room included.",
            metavar="LENGTH",
            show_default="4k",
        ),
    ] = None,
    depth: Annotated[
        float | None,
        typer.Option("--depth", help="niah: depth of the needle in per cent.", show_default="50"),
    ] = None,
    index: Annotated[int, typer.Option("--index", help="Which sample or row, from 0.", min=0)] = 0,
    needle: options.Needle = None,
    distractors: options.Distractors = None,
    haystack: options.Haystack = None,
    max_new_tokens: options.MaxNewTokens = None,
    data: options.AnyData = None,
    partial: options.Partial = None,
    truncate: options.Truncate = None,
    max_prompt_tokens: options.MaxPromptTokens = None,
    chat_template: options.ChatTemplate = None,
    model: options.ModelName = None,
    seed: options.Seed = None,
    brief: Annotated[bool, typer.Option("--brief", help="Only its ends and the needle.")] = False,
    as_json: options.Json = False,
) -> None:
    """Print the prompt of one sample exactly as a run with the same settings sends it.

    The text goes to standard output, what is known of it to standard error.

    \b
    Examples
      hisa-eval show-prompt --brief
      hisa-eval show-prompt --needle multikey --length 8k --depth 25 > prompt.txt
      hisa-eval show-prompt --task ruler/vt --length 8k --index 3
      hisa-eval show-prompt --task longbench/qasper --data LongBench/data.zip --brief
    """
    from hisa_eval.cli.output import print_json, print_note
    from hisa_eval.run.prompt import build_sample, facts_of_sample

    values: dict[str, Any] = {
        "needle": needle,
        "distractors": distractors,
        "haystack": haystack,
        "max_new_tokens": max_new_tokens,
        "data": data,
        "partial": partial,
        "truncate": truncate,
        "max_prompt_tokens": max_prompt_tokens,
        "chat_template": chat_template,
        "model": model,
        "seed": seed,
    }
    sample = build_sample(task, values, length, depth, index)
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
