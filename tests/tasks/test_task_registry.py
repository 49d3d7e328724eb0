"""What lists show, and that looking costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hisa_tasks import registry
from hisa_tasks.niah import NiahTask
from hisa_tasks.sample import Sample

ROOT = Path(__file__).parents[2]


def test_names() -> None:
    assert list(registry.available()) == ["niah", "ruler", "longbench", "longbench-v2", "mini"]
    assert list(registry.needles()) == [
        "single-number",
        "single-word",
        "single-uuid",
        "multikey",
        "multivalue",
        "multiquery",
        "san-francisco",
    ]
    assert list(registry.haystacks()) == ["prose", "noise", "needles"]
    for lists in (registry.available(), registry.needles(), registry.haystacks()):
        assert all(summary and "\n" not in summary for summary in lists.values())


def test_every_listed_name_works_and_is_described() -> None:
    for needle in registry.needles():
        for haystack in registry.haystacks():
            assert NiahTask(needle, haystack).family.name == needle
    for name in (*registry.available(), *registry.needles(), *registry.haystacks()):
        facts = registry.describe(name)
        assert facts["name"] == name
        assert json.loads(json.dumps(facts)) == facts


def test_unknown_names() -> None:
    with pytest.raises(
        ValueError,
        match="no task, needle or haystack is called 'hay' – known: niah, ruler, longbench, longbe",
    ):
        registry.describe("hay")
    sample = Sample("x/1", "x", "", ("a",), 1, 2, 1)
    with pytest.raises(ValueError, match="sample 'x/1' is of the unknown task 'x' – known: niah"):
        registry.score(sample, "a")


def test_imports_are_light() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tasks');"
        "import hisa_tasks.registry as registry, hisa_tasks.niah as niah;"
        "registry.needles(); registry.haystacks(); niah.NiahTask();"
        "heavy = {'torch', 'transformers', 'numpy', 'yaml', 'tokenizers', 'hisa_eval'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
