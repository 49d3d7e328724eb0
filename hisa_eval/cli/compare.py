"""`hisa-eval compare`: two indexers on the same prompts, with intervals and tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hisa_eval.cli import options


def compare(
    a: Annotated[str, typer.Argument(help="The baseline: DIR@INDEXER, or DIR with one.", metavar="A")],
    b: Annotated[str, typer.Argument(help="The other: DIR@INDEXER, or DIR with one.", metavar="B")],
    seed: Annotated[int, typer.Option("--seed", help="Of resamples.", metavar="N", min=0)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Also write the table there.", metavar="DIR", show_default=False, file_okay=False
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compare two indexers sample by sample: paired differences, intervals, tests; no model is loaded.

    Samples are joined by id; a sample that was asked with another prompt is refused. Samples that share a
    context count as one cluster.

    \b
    Examples
      hisa-eval compare results/reference/niah-cpu@dsa results/reference/niah-cpu@hisa
      hisa-eval compare runs/dsa runs/hisa --out runs/compared
    """
    from hisa_eval.cli.output import print_json, print_table
    from hisa_eval.report.comparison import comparison_table
    from hisa_eval.run.compare import compare_runs

    found = compare_runs(a, b, seed=seed)
    table = comparison_table(found)
    if out is not None:
        table.write(out)
    if as_json:
        rows = table.data.astype(object).where(table.data.notna(), None).to_dict("records")
        print_json({"command": "compare", "a": found.a.name, "b": found.b.name, "rows": rows})
        return
    cells = [[cell.text for cell in row] for row in table.rows]
    print_table(table.columns, cells, title=table.title, right=table.columns[1:])
    for note in table.notes:
        print(note)
