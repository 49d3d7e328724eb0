"""Settings: defaults under a file under the command line, each value validated, each error one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hisa_eval.config.defaults import NIAH
from hisa_eval.config.layers import layer
from hisa_eval.config.niah import NiahSettings, niah_settings
from hisa_eval.errors import UserError


def test_the_defaults_are_valid_and_cover_every_field() -> None:
    assert set(NIAH) == set(NiahSettings.model_fields)
    settings = niah_settings({})
    assert settings.samples == NIAH["samples"]
    with pytest.raises(ValueError, match="frozen"):
        settings.samples = 2  # type: ignore[misc]


def test_a_flag_wins_over_a_file_and_a_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("samples: 3\nmax-new-tokens: 7\nindexer: [dsa, 'hisa:ratio=4']\n", encoding="utf-8")
    merged = layer({"samples": 5, "seed": None}, file)
    assert merged.values["samples"] == 5
    assert merged.sources["samples"] == "flag"
    assert merged.sources["max_new_tokens"] == f"file {file}"
    assert merged.sources["seed"] == "default"
    settings = niah_settings(merged.values, merged.sources)
    assert settings.max_new_tokens == 7
    assert settings.indexer == "dsa,hisa:ratio=4"


def test_every_preset_of_the_repository_is_valid() -> None:
    presets = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
    assert presets
    for preset in presets:
        merged = layer({}, preset)
        niah_settings(merged.values, merged.sources)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"samples": 0}, "--samples 0"),
        ({"samples": 1.0}, "--samples 1.0"),
        ({"samples": True}, "--samples True"),
        ({"seed": -1}, "--seed -1"),
        ({"device": "tpu"}, "--device 'tpu'"),
        ({"max_new_tokens": 0}, "--max-new-tokens 0"),
        ({"needle": ""}, "--needle ''"),
        ({"topk": 0}, "--topk 0"),
        ({"sampels": 1}, "did you mean 'samples'"),
        ({"lengths": None}, "not a length"),
        ({"depths": "0,200"}, "outside 0–100"),
    ],
)
def test_a_wrong_value_is_one_line(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        niah_settings(values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_random_depths_follow_the_seed() -> None:
    one = niah_settings({"depths": "random:5", "seed": 1})
    assert one.depths == niah_settings({"depths": "random:5", "seed": 1}).depths
    assert one.depths != niah_settings({"depths": "random:5", "seed": 2}).depths


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"lenghts: 4k\n", "did you mean 'lengths'"),
        (b"- 4k\n", "not a mapping"),
        (b"samples: [1\n", "not valid YAML at line"),
        (b"needle: \xff\n", "not UTF-8"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: bytes, words: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(text)
    with pytest.raises(UserError, match=words) as caught:
        layer({}, file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        layer({}, tmp_path / "none.yaml")
    empty = tmp_path / "empty.yaml"
    empty.write_text("", encoding="utf-8")
    assert layer({}, empty).values == NIAH


def test_settings_survive_yaml(tmp_path: Path) -> None:
    settings = niah_settings({"lengths": "8k,100", "depths": "0,33.33", "samples": 2})
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    merged = layer({}, file)
    assert niah_settings(merged.values, merged.sources) == settings
