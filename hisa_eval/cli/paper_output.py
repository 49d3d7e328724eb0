"""Carries `hisa-eval paper` out and says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hisa_eval.cli.fidelity_output import teller
from hisa_eval.cli.latency_output import make_teller
from hisa_eval.cli.output import print_json, print_note, print_table
from hisa_eval.cli.run_output import make_reporter
from hisa_eval.run.progress import format_seconds

if TYPE_CHECKING:
    from hisa_eval.run.execute import Reporter
    from hisa_eval.run.fidelity import Tell
    from hisa_eval.run.plan import PlannedRun


class _Voice:
    """Tells of the parts on standard error, or not at all."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def phase(self, text: str) -> None:
        if not self._silent:
            print_note(text)

    def reporter(self, run: PlannedRun) -> Reporter:
        return make_reporter(run, silent=self._silent)

    def tell(self) -> Tell:
        return teller(silent=self._silent)

    def timed(self) -> Callable[[dict[str, Any]], None]:
        return make_teller(silent=self._silent)


def draw_given(paths: Sequence[Path], out: Path, *, dry_run: bool, quiet: bool, as_json: bool) -> None:
    """Draw from finished runs."""
    from hisa_eval.paper.build import check_out
    from hisa_eval.paper.sources import kind_of

    check_out(out)
    rows = [[str(path), kind_of(path)] for path in paths]
    if dry_run:
        if as_json:
            print_json(
                {"command": "paper", "dir": str(out), "runs": [{"dir": a, "kind": b} for a, b in rows]}
            )
            return
        print_table(["run", "kind"], rows)
        print(f"would draw them in {out}, in seconds; nothing was written")
        return
    if not quiet and not as_json:
        print_note("reading the runs and drawing ...")
    _draw(paths, out, quiet=quiet, as_json=as_json)


def run_and_draw(
    out: Path,
    *,
    full: bool,
    seed: int,
    device: str,
    threads: int | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Carry out what is missing of the parts, and draw.

    Returns:
        How many results failed.

    Raises:
        typer.Exit: the user stopped it (130).
    """
    from hisa_eval.latency.settings import checked_device
    from hisa_eval.paper.build import check_out, claim_folder
    from hisa_eval.paper.parts import FULL, QUICK, plan_parts, run_parts
    from hisa_eval.run.device import resolve_device

    check_out(out)
    place = resolve_device(checked_device(device))
    plan = plan_parts(out, FULL if full else QUICK, device=place, seed=seed)
    if dry_run:
        _show_plan(plan, as_json=as_json)
        return 0
    paths = list(plan.paths().values())
    claim_folder(paths, out)
    voice = _Voice(silent=quiet or as_json)
    try:
        failed = run_parts(plan, voice, threads=threads)
        voice.phase("drawing ...")
    except KeyboardInterrupt:
        print_note(f"stopped; {out} keeps what is finished, the same command resumes")
        raise typer.Exit(130) from None
    _draw(paths, out, quiet=quiet, as_json=as_json)
    if failed:
        print_note(f"{failed} results failed; the same command tries them again")
    return failed


def _show_plan(plan: Any, *, as_json: bool) -> None:
    """Parts, where they go and how long they will take; nothing is run or written."""
    from hisa_eval.paper.expected import expected_seconds

    expected, paths = expected_seconds(plan), plan.paths()
    total = sum(expected.values())
    if as_json:
        parts = [
            {"part": name, "path": str(paths[name]), "seconds": round(one, 1), "there": paths[name].exists()}
            for name, one in expected.items()
        ]
        print_json({"command": "paper", "dir": str(plan.folder), "seconds": round(total, 1), "parts": parts})
        return
    rows = [
        [name, str(paths[name]), "yes" if paths[name].exists() else "no", format_seconds(one)]
        for name, one in expected.items()
    ]
    title = f"{len(rows)} parts, about {format_seconds(total)}"
    print_table(["part", "path", "begun", "time"], rows, title=title, right=["time"])
    print("times follow from one sample that was timed here; what is finished is not run again")
    print("nothing was written")


def _draw(paths: Sequence[Path], out: Path, *, quiet: bool, as_json: bool) -> None:
    from hisa_eval.paper import build_paper
    from hisa_eval.paper.build import in_words

    made = build_paper(paths, out)
    if as_json:
        print_json(
            {
                "command": "paper",
                "dir": str(out),
                "report": str(made.html),
                "files": [str(path) for path in made.files],
                "claims": [vars(one) | {"verdict": str(one.verdict)} for one in made.claims],
            }
        )
        return
    if not quiet:
        print_table(
            ["figure", "the paper", "verdict", "why", "measured on"],
            [[one.item, one.paper, str(one.verdict), one.why, one.setting or "–"] for one in made.claims],
        )
    for sentence in in_words(made.claims):
        print(sentence)
    print(f"report: {made.html}")
