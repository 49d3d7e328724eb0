"""`hisa-eval score`: predictions scored by the official rules, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hisa_eval.cli import options


def score(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run.", metavar="[RUN]")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="JSON lines, one prediction each.", metavar="FILE")
    ] = None,
    suite: Annotated[
        str, typer.Option("--suite", help="longbench, longbench-v2 or ruler.", metavar="NAME")
    ] = "longbench",
    code_similarity: Annotated[
        str,
        typer.Option(
            "--code-similarity",
            help="Of lcc and repobench-p: difflib, as LongBench's requirements give it, or rapidfuzz, "
            "equal to an installation with python-Levenshtein.",
            metavar="NAME",
        ),
    ] = "difflib",
    thinking: Annotated[
        str,
        typer.Option(
            "--thinking",
            help="none scores the answer as it is, think-tags what follows its thinking.",
            metavar="RULE",
        ),
    ] = "none",
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="One JSON object a prediction, then one of totals.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
) -> None:
    """Score the answers of a run again, or a file of predictions as the suite's own scorer does.

    No model is loaded, and nothing is written.

    \b
    LongBench lines hold id, dataset, pred, answers, all_classes and length; the official pred files do too.
    LongBench v2 lines hold id, pred and answer; RULER lines id, task, pred and answers.

    \b
    Examples
      hisa-eval score results/niah-20260101-120000-1a2b3c4d
      hisa-eval score --predictions preds.jsonl --suite longbench
      hisa-eval score --predictions preds.jsonl --suite ruler --json
    """
    from hisa_eval.errors import UserError

    if run is not None and predictions is None:
        from hisa_eval.run.rescore import rescore_run

        rescored = rescore_run(run)
        if as_json:
            _print_lines(rescored.lines())
        else:
            _print_run(run, rescored.totals())
    elif predictions is not None and run is None:
        from hisa_eval.run.score_predictions import score_predictions
        from hisa_eval.run.scores import Rules

        scores = score_predictions(predictions, suite, Rules(code_similarity, thinking))
        if as_json:
            _print_lines(scores.lines())
        else:
            _print_tables(scores.group_field, scores.totals)
    else:
        given = "both a run and --predictions" if run is not None else "nothing to score"
        raise UserError(f"{given} given", "name the folder of a run, or --predictions FILE")


def _print_lines(lines: list[dict[str, Any]]) -> None:
    import json
    import sys

    for line in lines:
        text = json.dumps(line, ensure_ascii=False)
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:  # Half a surrogate pair, or an output that knows ASCII alone.
            text = json.dumps(line)
        print(text)


def _print_run(run: Path, totals: Any) -> None:
    from hisa_eval.cli.output import print_table

    numbers = ("score", "95% interval", "stored", "n", "failed", "cut", "changed")
    rows = [
        [
            name,
            _number(facts["score"]),
            f"{_number(facts['low'])} – {_number(facts['high'])}",
            _number(facts["stored"]),
            *(str(facts[count]) for count in ("n", "n_failed", "n_cut", "n_changed")),
        ]
        for name, facts in totals["indexers"].items()
    ]
    print_table(("indexer", *numbers), rows, title=f"{run}: per cent", right=numbers)


def _print_tables(group_field: str, totals: Any) -> None:
    from hisa_eval.cli.output import print_note, print_table

    numbers = ("score", "95% interval", "n")
    print_table(
        (group_field, *numbers),
        [_row(name, facts) for name, facts in totals[f"{group_field}s"].items()],
        title=f"{totals['suite']}: per cent",
        right=numbers,
    )
    for key, title in (("", "LongBench"), ("_e", "LongBench-E")):
        if f"categories{key}" not in totals:
            continue
        categories, average = totals[f"categories{key}"], totals[f"average{key}"]
        print()
        print_table(
            (*categories, "Avg"),
            [[*map(_number, (one["score"] for one in categories.values())), _number(average["categories"])]],
            title=f"{title}: unweighted means over data sets, and over categories",
            right=(*categories, "Avg"),
        )
        if not average["complete"]:
            missing = ", ".join(name for one in categories.values() for name in one["missing"])
            print_note(f"Avg is over what is here; missing: {missing}")
    if "code_similarity" in totals:
        print_note(f"code similarity: {totals['code_similarity']}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _row(name: str, facts: Any) -> list[str]:
    interval = f"{facts['low']:.2f} – {facts['high']:.2f}"
    return [name, f"{facts['score']:.2f}", interval, str(facts["n"])]
