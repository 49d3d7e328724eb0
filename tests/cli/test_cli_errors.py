"""Bad input: one line that says what is wrong and how to mend it, exit code 2, nothing written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CASES = [
    ("unknown indexer", ["--indexer", "hisaa"], "did you mean 'hisa'"),
    ("unknown option of an indexer", ["--indexer", "hisa:blocksize=64"], "did you mean 'block_size'"),
    (
        "budget that cannot be filled",
        ["--indexer", "hisa:block_size=16,num_blocks=8"],
        "cannot fill k = 2048",
    ),
    ("malformed length", ["--lengths", "8q"], "'8q' is not a length"),
    ("doubling that misses its end", ["--lengths", "8k..100k"], "never meets 100k"),
    ("depth beyond the end", ["--depths", "0,101"], "outside 0–100"),
    ("depth before the start", ["--depths=-5"], "outside 0–100"),
    ("no samples", ["--samples", "0"], "--samples 0"),
    ("samples that are no number", ["--samples", "many"], "samples"),
    ("unknown model", ["--model", "nanno"], "unknown model 'nanno'"),
    ("unknown needle", ["--needle", "single-numbr"], "did you mean 'single-number'"),
    ("needle file that is missing", ["--needle", "none.yaml"], "none.yaml"),
    ("haystack folder that is missing", ["--haystack", "./nowhere"], "nowhere"),
    ("haystack folder that is empty", ["--haystack", "./empty"], "empty"),
    ("haystack file that is not UTF-8", ["--haystack", "./latin"], "UTF-8"),
    ("length below the needle", ["--lengths", "64"], "too short"),
    ("folder of something else", ["--out", "foreign"], "not a run"),
    ("folder that is a file", ["--out", "foreign/thesis.txt"], "is a file"),
    ("folder below a file", ["--out", "foreign/thesis.txt/run"], "not a folder"),
    ("settings file that is missing", ["--config", "none.yaml"], "does not exist"),
    ("unknown flag", ["--lenghts", "8k"], "--lenghts"),
    ("unknown device", ["--device", "tpu"], "--device 'tpu'"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with things that must not be touched."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin").mkdir()
    (tmp_path / "latin" / "essay.txt").write_bytes("Émile a dit. Ça va.".encode("latin-1"))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("do not lose me", encoding="utf-8")
    return tmp_path


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(("arguments", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_bad_input_is_one_line(hisa, folder: Path, arguments: list[str], words: str) -> None:  # type: ignore[no-untyped-def]
    before = everything(folder)
    given = [] if "--device" in arguments else ["--device", "cpu"]
    done = hisa("niah", "--quiet", *given, *arguments)
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert " – " in lines[0]
    assert words in lines[0]
    assert done.stdout == ""
    assert everything(folder) == before


def test_cuda_without_a_gpu(hisa, folder: Path) -> None:  # type: ignore[no-untyped-def]
    before = everything(folder)
    done = hisa("niah", "--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --device cuda: ")
    assert done.stderr.count("\n") == 1
    assert everything(folder) == before


def test_a_folder_that_cannot_be_written(oracle, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    out = Path("/proc/none/run") if os.geteuid() == 0 else locked / "run"
    done = oracle("niah", "--quiet", "--model", "oracle", "--device", "cpu", "--out", out)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot write to" in done.stderr
    assert list(locked.iterdir()) == []


def test_a_folder_of_another_run(oracle, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    grid = ["niah", "--quiet", "--no-report", "--model", "oracle", "--lengths", "4k", "--out", "run"]
    assert oracle(*grid).returncode == 0
    before = everything(tmp_path)
    done = oracle(*grid, "--seed", "1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "holds another run: " in done.stderr
    assert everything(tmp_path) == before
    done = oracle(*grid, "--no-resume")
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["describe", "hisaa"], "did you mean 'hisa'"),
        (["list", "indexer"], "indexer"),
        (["report", "nowhere"], "nowhere"),
        (["report"], "DIR"),
        (["show-prompt", "--length", "8q"], "'8q' is not a length"),
        (["show-prompt", "--depth", "101"], "outside 0–100"),
        (["show-prompt", "--task", "mini/label", "--length", "4k"], "mini/label has no --length – leave it"),
        (["show-prompt", "--task", "ruler/vt", "--depth", "50"], "ruler/vt has no --depth – leave it"),
        (
            ["show-prompt", "--task", "ruler/vt", "--needle", "multikey"],
            "ruler/vt has no --needle – leave it",
        ),
        (["niha"], "niha"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_other_commands_complain_alike(hisa, arguments: list[str], words: str) -> None:  # type: ignore[no-untyped-def]
    done = hisa(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert words in done.stderr


def test_a_traceback_only_for_those_who_ask(hisa) -> None:  # type: ignore[no-untyped-def]
    done = hisa("niah", "--lengths", "8q", HISA_EVAL_DEBUG="1")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
