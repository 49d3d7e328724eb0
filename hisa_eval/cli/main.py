"""`hisa-eval`: puts the commands together and turns what goes wrong into one line and an exit code.

Exit codes: 0 done; 1 done, but samples failed or a check did not pass; 2 wrong use or an unexpected error;
130 stopped with Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from hisa_eval import __version__
from hisa_eval.cli.compare import compare
from hisa_eval.cli.describe import describe
from hisa_eval.cli.doctor import doctor
from hisa_eval.cli.fidelity import fidelity
from hisa_eval.cli.latency import latency
from hisa_eval.cli.listing import list_names
from hisa_eval.cli.longbench import longbench
from hisa_eval.cli.niah import niah
from hisa_eval.cli.output import print_error
from hisa_eval.cli.paper import paper
from hisa_eval.cli.report import report
from hisa_eval.cli.ruler import ruler
from hisa_eval.cli.score import score
from hisa_eval.cli.serve import PASSED_ON, serve
from hisa_eval.cli.show_prompt import show_prompt
from hisa_eval.cli.sweep import sweep
from hisa_eval.errors import UserError

DEBUG = "HISA_EVAL_DEBUG"
"""Environment variable that keeps tracebacks."""

app = typer.Typer(
    name="hisa-eval",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("niah", rich_help_panel="Run")(niah)
app.command("ruler", rich_help_panel="Run")(ruler)
app.command("longbench", rich_help_panel="Run")(longbench)
app.command("fidelity", rich_help_panel="Run")(fidelity)
app.command("latency", rich_help_panel="Run")(latency)
app.command("sweep", rich_help_panel="Run")(sweep)
app.command("serve", rich_help_panel="Run", context_settings=PASSED_ON)(serve)
app.command("paper", rich_help_panel="Run")(paper)
app.command("report", rich_help_panel="Read")(report)
app.command("compare", rich_help_panel="Read")(compare)
app.command("score", rich_help_panel="Read")(score)
app.command("list", rich_help_panel="Tell")(list_names)
app.command("describe", rich_help_panel="Tell")(describe)
app.command("show-prompt", rich_help_panel="Tell")(show_prompt)
app.command("doctor", rich_help_panel="Tell")(doctor)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Measure what a sparse-attention indexer costs and keeps: DSA, HISA, block-sparse or your own.

    \b
    Examples
      hisa-eval niah
      hisa-eval niah --lengths 8k..128k --depths 5 --indexer dsa,hisa:ratio=4
      hisa-eval ruler --lengths 8k..64k --samples 5
      hisa-eval longbench --data LongBench/data.zip --samples 20
      hisa-eval fidelity --lengths 8k..32k
      hisa-eval report results/niah-*
      hisa-eval doctor
    """
    if version:
        print(f"hisa-eval {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows the program's name; that of this process by default.

    Returns:
        The exit code.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        result = app(args=arguments, prog_name="hisa-eval", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except UserError as error:
        return _fail(error, error.what, error.fix, error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is not None:
            return _fail(error, usage().rstrip("."), _help_hint(error), 2)
        what = f"unexpected {type(error).__name__}: {error}"
        return _fail(error, what, f"set {DEBUG}=1 to see where it comes from, and report it", 2)


def _fail(error: Exception, what: str, fix: str, code: int) -> int:
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    print_error(what, fix)
    return code


def _help_hint(error: Exception) -> str:
    """Where the options of the command in question are listed."""
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "") or "hisa-eval"
    return f"see {command} --help"


if __name__ == "__main__":
    sys.exit(main())
