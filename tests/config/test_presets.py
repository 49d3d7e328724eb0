"""Presets: every file is taken by the commands it has settings for, sections apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hisa_eval.cli.main import main
from hisa_eval.config.layers import SECTIONS, layer
from hisa_eval.config.longbench import longbench_settings
from hisa_eval.config.niah import niah_settings
from hisa_eval.config.ruler import ruler_settings
from hisa_eval.errors import UserError
from hisa_eval.indexers import registry

CONFIGS = Path(__file__).parents[2] / "configs"
LARGE = ("deepseek-v3.2", "glm-5", "paper")


@pytest.mark.parametrize("name", LARGE)
def test_every_section_is_valid(name: str) -> None:
    file = CONFIGS / f"{name}.yaml"
    check = {"niah": niah_settings, "ruler": ruler_settings, "longbench": longbench_settings}
    models = set()
    for section, defaults in SECTIONS.items():
        merged = layer({}, file, defaults)
        settings = check[section](merged.values, merged.sources)
        models.add(settings.model)
        assert len(registry.parse_list(settings.indexer)) == 3
        assert merged.engine is not None
        assert settings.model in merged.engine
    (model,) = models
    assert "/" in model


def test_sections_win_over_what_is_shared_and_keep_apart(tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    file.write_text("samples: 2\nniah:\n  samples: 3\n  depths: 7\nlongbench:\n  suite: e\n")
    assert layer({}, file, SECTIONS["niah"]).values["samples"] == 3
    assert layer({}, file, SECTIONS["ruler"]).values["samples"] == 2
    assert layer({}, file, SECTIONS["longbench"]).values["suite"] == "e"
    file.write_text("niah: 3\n")
    with pytest.raises(UserError, match="niah is not a mapping"):
        layer({}, file, SECTIONS["niah"])
    file.write_text("ruler:\n  depths: 3\n")
    with pytest.raises(UserError, match="unknown setting 'depths'"):
        layer({}, file, SECTIONS["ruler"])


@pytest.mark.parametrize("name", LARGE)
def test_dry_run_of_a_model_that_is_not_here(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)
    assert main(["niah", "--config", str(CONFIGS / f"{name}.yaml"), "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    n_layers = sum(row["last"] - row["first"] + 1 for row in said["layers"])
    assert n_layers in (61, 78)
    assert (
        sum((row["last"] - row["first"] + 1) * row["parameters"] for row in said["layers"])
        < said["parameters"]
    )
    assert {row["length"] for row in said["lengths"]} == {8192 << step for step in range(5)}
    assert not list(tmp_path.iterdir())
