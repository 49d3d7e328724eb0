"""Settings of the suites: defaults valid, errors in one line that names the right help page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.config.defaults import LONGBENCH, RULER
from hisa_eval.config.layers import layer
from hisa_eval.config.longbench import LongBenchSettings, longbench_settings
from hisa_eval.config.ruler import RulerSettings, ruler_settings
from hisa_eval.errors import UserError

SUITES = [
    pytest.param("ruler", ruler_settings, RulerSettings, RULER, id="ruler"),
    pytest.param("longbench", longbench_settings, LongBenchSettings, LONGBENCH, id="longbench"),
]


@pytest.mark.parametrize(("command", "make", "kind", "defaults"), SUITES)
def test_the_defaults_are_valid_and_cover_every_field(
    command: str, make: Callable[..., Any], kind: type[Any], defaults: dict[str, Any]
) -> None:
    assert set(defaults) == set(kind.model_fields)
    assert make({}).indexer == defaults["indexer"]


@pytest.mark.parametrize(("command", "make", "kind", "defaults"), SUITES)
def test_a_wrong_value_is_one_line_with_its_command(
    command: str, make: Callable[..., Any], kind: type[Any], defaults: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as caught:
        make({"samples": 0})
    assert "--samples 0" in str(caught.value)
    assert f"hisa-eval {command} --help" in str(caught.value)
    with pytest.raises(UserError, match="unknown setting 'needle'"):
        make({"needle": "multikey"})


@pytest.mark.parametrize(("command", "make", "kind", "defaults"), SUITES)
def test_a_list_of_tasks_in_a_file_reads_like_the_flag(
    command: str, make: Callable[..., Any], kind: type[Any], defaults: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("tasks: [one, two]\nseed: 3\n", encoding="utf-8")
    merged = layer({"seed": 4}, file, defaults)
    assert merged.sources["tasks"] == f"file {file}"
    settings = make(merged.values, merged.sources)
    assert (settings.tasks, settings.seed) == ("one,two", 4)


def test_mini_is_asked_of_the_model_that_was_trained_for_it() -> None:
    merged = layer({}, None, LONGBENCH)
    assert longbench_settings(merged.values).model == "nano-mini"
    assert longbench_settings({**merged.values, "data": "folder"}).model == "nano"
    assert longbench_settings({**merged.values, "model": "nano"}).model == "nano"
