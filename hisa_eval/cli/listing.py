"""`hisa-eval list`: what there is, by kind."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from hisa_eval.cli import options

Kind = Literal["indexers", "models", "tasks", "needles", "haystacks"]


def names_of(kind: Kind) -> dict[str, str]:
    """Name and one-line summary of everything of a kind."""
    if kind == "indexers":
        from hisa_eval.indexers import registry as indexers

        return {name: indexers.describe(name).summary for name in indexers.available()}
    if kind == "models":
        from hisa_eval.models import registry as models

        return {name: str(models.describe(name)["description"]) for name in models.available()}
    from hisa_tasks import registry as tasks

    return {"tasks": tasks.available, "needles": tasks.needles, "haystacks": tasks.haystacks}[kind]()


def list_names(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
    as_json: options.Json = False,
) -> None:
    """List indexers, models, tasks, needles or haystacks with a line on each.

    \b
    Examples
      hisa-eval list indexers
      hisa-eval list needles --json
    """
    from hisa_eval.cli.output import print_json, print_table

    names = names_of(kind)
    if as_json:
        print_json([{"name": name, "summary": summary} for name, summary in names.items()])
    else:
        print_table([kind.removesuffix("s"), "what it is"], [[name, text] for name, text in names.items()])
