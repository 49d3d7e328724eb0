"""`hisa-eval doctor`: is everything here that a default run needs?"""

from __future__ import annotations

from dataclasses import asdict

import typer

from hisa_eval.cli import options


def doctor(as_json: options.Json = False) -> None:
    """Check this machine: packages, devices, shipped data, memory, and where results go.

    Exit code 1 only where a run with the defaults would not work.

    \b
    Examples
      hisa-eval doctor
      hisa-eval doctor --json
    """
    from hisa_eval.cli.output import print_json, print_table
    from hisa_eval.run.checks import run_checks

    checks = list(run_checks())
    failed = [check for check in checks if check.status == "fail"]
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        print_table(
            ["check", "status", "found", "what to do"],
            [[check.name, check.status, check.found, check.fix] for check in checks],
        )
        print(f"{len(failed)} of {len(checks)} checks failed" if failed else "a default run will work here")
    if failed:
        raise typer.Exit(1)
