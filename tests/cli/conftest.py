"""Runs the command line: in this process where that is enough, in one of its own where it is not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("driver.py")


class Done(NamedTuple):
    """What a finished command leaves."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


def environment(changed: Mapping[str, str]) -> dict[str, str]:
    """The environment of a user without terminal, display or network, with this source tree importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HISA_", "ORACLE_"))}
    for name in ("DISPLAY", "FORCE_COLOR", "GITHUB_ACTIONS", "MPLBACKEND", "PY_COLORS"):
        kept.pop(name, None)
    paths = [str(ROOT / part) for part in (".", "kernels", "tasks")]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1", "COLUMNS": "200", **changed}


def _run(program: list[str], folder: Path, arguments: tuple[Any, ...], changed: Mapping[str, str]) -> Done:
    done = subprocess.run(
        [*program, *map(str, arguments)],
        cwd=folder,
        env=environment(changed),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def hisa(tmp_path: Path) -> Command:
    """`hisa-eval ARGUMENTS` in a process of its own and an empty folder."""
    return lambda *arguments, **changed: _run(
        [sys.executable, "-m", "hisa_eval"], tmp_path, arguments, changed
    )


@pytest.fixture
def background(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """The command with the in-memory model, started in an empty folder and not waited for."""

    def start(*arguments: str, **changed: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(DRIVER), *arguments],
            cwd=tmp_path,
            env=environment(changed),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    return start


@pytest.fixture(scope="session")
def driver() -> ModuleType:
    """The module of the in-memory model."""
    spec = importlib.util.spec_from_file_location("oracle_driver", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`hisa-eval ARGUMENTS` in this process and an empty folder."""
    from hisa_eval.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: Any, **changed: str) -> Done:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in changed.items():
                patch.setenv(name, value)
            code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def oracle(inside: Command, driver: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`hisa-eval ARGUMENTS` in this process, with the in-memory model in place of the registered ones."""
    for name, value in driver.registry().items():
        monkeypatch.setattr(f"hisa_eval.models.registry.{name}", value)
    return inside
