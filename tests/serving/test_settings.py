"""What the environment may ask of the plug-in, and the command that `hisa-eval serve` prints."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from hisa_eval.cli.main import main
from hisa_eval.errors import UserError
from hisa_eval.serving import plugin
from hisa_eval.serving.settings import INDEXER, TOPK, from_environment, serving


def test_unasked_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INDEXER, raising=False)
    plugin.register()
    assert plugin.attestation() is None
    assert from_environment({INDEXER: " "}) is None


def test_the_environment_is_read() -> None:
    asked = from_environment({INDEXER: "hisa:block_size=64,num_blocks=20", TOPK: "1024"})
    assert asked is not None
    assert (asked.indexer.label, asked.topk) == ("hisa:block_size=64,num_blocks=20", 1024)
    assert not asked.may_fall_short


def test_candidates_that_may_be_fewer_than_k() -> None:
    assert serving("hisa:block_size=128,num_blocks=16", 2048).may_fall_short
    assert not serving("hisa:block_size=128,num_blocks=17", 2048).may_fall_short
    assert serving("block-sparse", 2048).may_fall_short


@pytest.mark.parametrize(
    ("spec", "topk", "words"),
    [
        ("misa", 2048, "misa cannot select inside vLLM"),
        ("hisa:ratio=4", 2048, "leave ratio at none"),
        ("hisa:forced_in_budget=false", 2048, "leave forced_in_budget at true"),
        ("hisa:block_score_dtype=bf16", 2048, "leave block_score_dtype at f32"),
        ("hisa:num_blocks=4", 2048, "cannot fill"),
        ("block-sparse:num_blocks=20", 2048, "lower num_blocks"),
        ("hisa", 0, "at least 1"),
    ],
)
def test_what_cannot_be_served_is_refused(spec: str, topk: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        serving(spec, topk)


def test_a_budget_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match="'many', no number"):
        from_environment({INDEXER: "hisa", TOPK: "many"})


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """A folder that says what its indexer selects."""
    (tmp_path / "config.json").write_text(json.dumps({"index_topk": 1024}), encoding="utf-8")
    return str(tmp_path)


def test_serve_prints_the_command(checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = "hisa:block_size=64,num_blocks=32"
    words = [
        "serve",
        "--model",
        checkpoint,
        "--indexer",
        spec,
        "--dry-run",
        "--",
        "--tensor-parallel-size",
        "8",
    ]
    assert main(words) == 0
    printed = capsys.readouterr().out.strip()
    assert printed.startswith(f"HISA_EVAL_INDEXER={spec} HISA_EVAL_TOPK=1024 ")
    assert printed.endswith(f"vllm serve {checkpoint} --port 8000 --tensor-parallel-size 8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nano"], "nano is embedded"),
        (["--model", "http://127.0.0.1:8000/v1"], "is a server already"),
        (["--model", "owner/name", "--indexer", "hisa-exact"], "hisa-exact cannot select inside vLLM"),
        (["--model", "owner/name", "--indexer", "hisa", "--topk", "9000"], "cannot fill k = 9000"),
    ],
)
def test_serve_refuses_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--dry-run", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert words in said.err


def test_another_budget_than_the_checkpoints_is_refused(
    checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--model", checkpoint, "--topk", "2048", "--dry-run"]) == 2
    assert "selects, 1024" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is here")
def test_serve_without_vllm_is_one_line(checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--model", checkpoint, "--indexer", "hisa"]) == 2
    assert "pip install 'hisa-eval[serve]'" in capsys.readouterr().err
