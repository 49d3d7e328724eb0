"""The commands that tell: help, lists, descriptions, prompts, settings, the doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "pydantic", "transformers", "pandas", "matplotlib", "scipy", "numpy")

Command = Callable[..., Any]


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hisa_eval.cli.main import main; "
        "code = main(['--help']); "
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules]); sys.exit(code)"
    )
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "kernels", "tasks"))

    def seconds(code: str) -> tuple[float, str]:
        before = os.times()
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        )
        after = os.times()
        user = after.children_user - before.children_user
        return user + after.children_system - before.children_system, done.stdout

    taken, bare = [], []
    for _ in range(5):
        time, output = seconds(code)
        taken.append(time)
        assert output.splitlines()[-1] == "heavy: []"
        bare.append(seconds("import typer.main, typer.rich_utils")[0])
    # Half a second, or where that is how slow the machine is, twice what Typer's own imports take.
    assert min(taken) < max(0.5, 2 * min(bare))


@pytest.mark.parametrize(
    "command", ["niah", "ruler", "longbench", "report", "list", "describe", "show-prompt", "doctor"]
)
def test_every_command_has_examples(inside: Command, command: str) -> None:
    done = inside(command, "--help")
    assert done.returncode == 0
    assert f"hisa-eval {command}" in done.stdout.partition("Examples")[2]


@pytest.mark.parametrize("command", ["niah", "ruler", "longbench"])
def test_every_default_is_on_the_help_page(inside: Command, command: str) -> None:
    from hisa_eval.config import defaults
    from hisa_eval.config.settings import flag_of

    page = inside(command, "--help").stdout
    for name, value in getattr(defaults, command.upper()).items():
        assert flag_of(name) in page
        if isinstance(value, str | int) and not isinstance(value, bool):
            assert f"({value})" in page


def test_no_command_shows_the_help(inside: Command) -> None:
    done = inside()
    assert done.returncode == 0
    assert "Usage: hisa-eval" in done.stdout
    assert inside("--version").stdout.startswith("hisa-eval ")


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        ("indexers", "block-sparse"),
        ("models", "nano"),
        ("tasks", "niah"),
        ("needles", "multikey"),
        ("haystacks", "prose"),
    ],
)
def test_lists(inside: Command, kind: str, one: str) -> None:
    listed = json.loads(inside("list", kind, "--json").stdout)
    assert one in [entry["name"] for entry in listed]
    assert all(entry["summary"] for entry in listed)
    assert f"| {one} " in inside("list", kind).stdout


@pytest.mark.parametrize("name", ["hisa", "nano", "niah", "multikey", "noise"])
def test_descriptions(inside: Command, name: str) -> None:
    facts = json.loads(inside("describe", name, "--json").stdout)
    assert facts["name"] == name
    assert facts["kind"]
    assert inside("describe", name).stdout.startswith(f"{facts['kind']} {name}\n")


def test_options_of_an_indexer_are_described(inside: Command) -> None:
    page = inside("describe", "hisa").stdout
    for option in ("block_size", "num_blocks", "pooling", "forced", "ratio"):
        assert f"| {option} " in page


def test_the_prompt_on_stdout_is_the_one_that_a_run_sends(oracle: Command) -> None:
    place = ["--model", "oracle", "--seed", "3"]
    done = oracle("show-prompt", *place, "--length", "4k", "--depth", "50")
    prompt = done.stdout.removesuffix("\n")
    facts = json.loads(oracle("show-prompt", *place, "--depth", "50", "--json").stdout)
    assert facts["prompt"] == prompt
    assert facts["prompt tokens"] + facts["answer room"] == facts["length"] == 4096
    assert facts["references"][0] in prompt
    assert "prompt tokens: " in done.stderr
    grid = ["--lengths", "4k", "--depths", "50%", "--indexer", "dsa", "--out", "run", "--no-report"]
    assert oracle("niah", *place, *grid).returncode == 0
    (line,) = Path("run/samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["prompt_sha256"] == facts["sha256"]
    brief = oracle("show-prompt", *place, "--depth", "50", "--brief").stdout
    assert facts["references"][0] in brief
    assert len(brief) < len(prompt)


def test_settings_are_shown_with_their_source(inside: Command, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("samples: 3\nseed: 5\n", encoding="utf-8")
    done = inside("niah", "--config", "run.yaml", "--seed", "7", "--show-config", "--json")
    shown = json.loads(done.stdout)
    assert shown["samples"] == {"value": 3, "source": "file run.yaml"}
    assert shown["seed"] == {"value": 7, "source": "flag"}
    assert shown["needle"]["source"] == "default"
    assert "| file run.yaml" in inside("niah", "--config", "run.yaml", "--show-config").stdout
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_the_help_page_survives_an_ascii_terminal(hisa: Command) -> None:
    done = hisa("niah", "--help", PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "--lengths" in done.stdout


def test_the_doctor_explains_a_machine_without_a_gpu(inside: Command) -> None:
    done = inside("doctor", "--json", CUDA_VISIBLE_DEVICES="")
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert found["ok"]
    by_name = {check["name"]: check for check in found["checks"]}
    assert by_name["gpu"]["status"] == "note"
    assert by_name["torch"]["status"] == "ok"
    assert by_name["model"]["found"].startswith("nano")
    assert all(check["fix"] for check in found["checks"] if check["status"] != "ok")
