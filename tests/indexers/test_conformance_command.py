"""The conformance suite as other people run it: from the command line, on indexers with options."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hisa_eval
import hisa_kernels
from hisa_eval.errors import UserError
from hisa_eval.indexers.conformance.subject import subjects

SUITE = "hisa_eval.indexers.conformance"
SOURCES = [Path(str(package.__file__)).parent.parent for package in (hisa_eval, hisa_kernels)]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest on the suite in `folder`, with no plugin but the suite's own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, SOURCES)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", f"{SUITE}.plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "--pyargs", SUITE, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_built_in_indexers_pass(tmp_path: Path) -> None:
    specs = [
        "dsa",
        "hisa:block_size=5,ratio=4,forced=none,block_score_dtype=bf16",
        "block-sparse:block_size=4,num_blocks=2,forced=first_last2,forced_in_budget=false,pooling=max",
    ]
    done = run(tmp_path, *(part for spec in specs for part in ("--indexer", spec)))
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_all_registered_indexers_are_the_default(tmp_path: Path) -> None:
    done = run(tmp_path, "--collect-only", "-k", "test_settings_are_json")
    assert done.returncode == 0, done.stdout
    for label in ("dsa", "hisa", "block-sparse"):
        assert f"test_settings_are_json[{label}]" in done.stdout


def test_a_wrong_command_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--indexer", "hsia")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.strip().splitlines() == [
        "ERROR: unknown indexer 'hsia' – did you mean 'hisa'? known: block-sparse, "
        "dsa, hisa, hisa-adaptive, hisa-exact, hisa-multi, hisa-overlap, index-cache, misa, "
        "step-reuse"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((["hisa:block_size=0"], None, "cpu"), "hisa: block_size=0 is not allowed"),
        ((["hisa"], 100_000, "cpu"), "hisa refuses k = 100000: hisa: num_blocks*block_size = 64*128 = 8192"),
        ((None, None, "nowhere"), "device 'nowhere' cannot be used"),
    ],
)
def test_wrong_options_of_the_suite_are_refused(
    arguments: tuple[list[str] | None, int | None, str], said: str
) -> None:
    with pytest.raises(UserError) as error:
        subjects(*arguments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_budget_is_the_smallest_that_the_indexer_takes() -> None:
    found = {each.indexer.label: each.topk for each in subjects(["dsa,hisa,block-sparse"], None, "cpu")}
    assert found == {"dsa": 8, "hisa": 8, "block-sparse": 256}


def test_a_faulty_indexer_fails(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(
        "from hisa_eval.indexers.dsa import DsaIndexer\n"
        "class Faulty(DsaIndexer):\n"
        "    name = 'faulty'\n"
        "    def select(self, *inputs, **more):\n"
        "        return super().select(*inputs, **more).flip(1)\n"
    )
    info = tmp_path / "faulty-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[hisa_eval.indexers]\nfaulty = faulty:Faulty\n")
    done = run(tmp_path, "--indexer", "faulty", "-k", "at_every_edge")
    assert done.returncode == 1
    assert "law 'padding' broken – row 0" in done.stdout
