"""`hisa-eval describe`: everything about one indexer, model, task, needle or haystack."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hisa_eval.cli import options


def facts_of(name: str) -> dict[str, Any]:
    """What is known of a name, whatever kind it is; JSON types only.

    Raises:
        UserError: nothing has that name.
    """
    from hisa_eval.cli.listing import names_of
    from hisa_eval.errors import unknown_name

    known: dict[str, str] = {}
    for kind in ("indexers", "models", "tasks", "needles", "haystacks"):
        known.update(dict.fromkeys(names_of(kind), kind))
    if name not in known:
        from hisa_eval.models import checkpoint
        from hisa_eval.models import registry as models

        if checkpoint.is_reference(name):
            return {"kind": "model", **models.describe(name)}
        raise unknown_name("name", name, known)
    if known[name] == "indexers":
        from hisa_eval.indexers import registry as indexers

        found = indexers.describe(name)
        return {
            "kind": "indexer",
            "name": name,
            "origin": found.origin,
            "doc": found.doc,
            "options": [vars(option) for option in found.options],
        }
    if known[name] == "models":
        from hisa_eval.models import registry as models

        return {"kind": "model", "name": name, **models.describe(name)}
    from hisa_tasks import registry as tasks

    return tasks.describe(name)


def describe(
    name: Annotated[str, typer.Argument(help="Of anything that `list` shows.", metavar="NAME")],
    as_json: options.Json = False,
) -> None:
    """Say everything about one name: what it is, its options with defaults, where it comes from.

    \b
    Examples
      hisa-eval describe hisa
      hisa-eval describe nano --json
    """
    from hisa_eval.cli.output import print_json, print_table

    facts = facts_of(name)
    if as_json:
        print_json(facts)
        return
    print(f"{facts['kind']} {name}")
    for key, value in facts.items():
        if key in ("kind", "name", "options"):
            continue
        if key == "doc":
            print(f"\n{value}\n")
        elif isinstance(value, dict):
            print(f"{key}:")
            for inner, text in value.items():
                print(f"  {inner}: {text}")
        else:
            print(f"{key}: {value!r}" if isinstance(value, str) and "\n" in value else f"{key}: {value}")
    rows = facts.get("options") or []
    if rows:
        print_table(
            ["option", "takes", "default", "what it does"],
            [[row["name"], row["type"], row["default"], row["description"]] for row in rows],
        )
        print(f"\nwrite it as {name}:option=value,option=value")
