"""Models by path and by name on the hub: what runs, and one line for everything that does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import errors
from tiny_models import GLM, save_tiny

from hisa_eval.cli.main import main
from hisa_eval.errors import UserError
from hisa_eval.models import checkpoint, registry


@pytest.fixture(scope="module")
def glm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("hub") / "tiny-glm", GLM)


def broken(glm: Path, tmp_path: Path, **changed: Any) -> str:
    """A copy of the checkpoint's small files with another configuration."""
    folder = tmp_path / "broken"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (folder / name).write_bytes((glm / name).read_bytes())
    config = {**json.loads((glm / "config.json").read_text()), **changed}
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return str(folder)


def test_a_needle_run_with_a_checkpoint_by_path(
    glm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--lengths", "1k", "--depths", "50%", "--max-new-tokens", "4", "--no-report", "--quiet"]
    indexers = ["--indexer", "dsa,hisa:block_size=16,num_blocks=16", "--topk", "64"]
    assert main(["niah", "--model", str(glm), *arguments, *indexers, "--out", "run"]) == 0
    capsys.readouterr()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["model"]["name"] == "tiny-glm"
    assert manifest["model"]["architecture"] == "GlmMoeDsaForCausalLM"
    assert manifest["model"]["checkpoint"] == registry.describe(str(glm))["checkpoint"]
    records = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert [record["status"] for record in records] == ["ok", "ok"]
    for record in records:
        assert [layer["layer"] for layer in record["selection"]["layers"]] == [0, 1, 3]


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        (
            {"architectures": ["DeepseekV4ForCausalLM"]},
            "not run here yet: its indexer scores compressed",
        ),
        ({"architectures": ["Dots3NoteForCausalLM"]}, "a Dots3NoteForCausalLM, which does not run here yet"),
        ({"architectures": ["LlamaForCausalLM"], "index_topk": None}, "without a DSA indexer"),
        ({"index_topk": 0}, "without a DSA indexer"),
        ({"architectures": None}, "names no architecture"),
        ({"quantization_config": {"quant_method": "gptq"}}, "'gptq', which are not read yet"),
    ],
)
def test_what_does_not_run_is_said_before_anything_is_loaded(
    glm: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any],
    wanted: str,
) -> None:
    model = broken(glm, tmp_path, **changed)
    assert main(["niah", "--model", model, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert wanted in said[0]
    assert not (tmp_path / "run").exists()


def test_without_a_tokenizer(glm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = broken(glm, tmp_path)
    (Path(model) / "tokenizer.json").unlink()
    assert main(["niah", "--model", model, "--indexer", "dsa", "--out", str(tmp_path / "run")]) == 2
    assert "has no tokenizer.json" in capsys.readouterr().err


def test_weights_of_another_model(glm: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="transformers cannot load"):
        registry.load(broken(glm, tmp_path, hidden_size=64))
    with pytest.raises(UserError, match="unknown dtype 'f16'"):
        registry.load(str(glm), dtype="f16")


def test_neither_folder_nor_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        registry.describe("./not-here")
    with pytest.raises(UserError, match=r"holds no config\.json"):
        registry.describe(str(tmp_path))


def test_offline_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="not in the local cache and the hub cannot be reached"):
        checkpoint.find("somebody/some-model")


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (errors.GatedRepoError, "is gated on the hub – accept its terms"),
        (errors.RepositoryNotFoundError, "neither a folder nor a public model"),
    ],
)
def test_hub_that_refuses(monkeypatch: pytest.MonkeyPatch, kind: Any, wanted: str) -> None:
    def refuse(*_args: object, **_kwargs: object) -> str:
        raise kind.__new__(kind, "no")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(UserError, match=wanted):
        checkpoint.find("somebody/some-model")


def test_hash_of_large_weights_reads_their_beginning(
    glm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = checkpoint.checkpoint_hash(glm)
    monkeypatch.setattr(checkpoint, "_HASHED_WHOLE", 1000)
    sampled = checkpoint.checkpoint_hash(glm)
    assert sampled.startswith("sampled-")
    assert whole not in sampled
    copy = Path(broken(glm, tmp_path))
    (copy / "config.json").write_bytes((glm / "config.json").read_bytes())
    assert checkpoint.checkpoint_hash(copy) == sampled
    with (copy / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert checkpoint.checkpoint_hash(copy) != sampled
