"""The manifest and the keys of samples."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.run.canonical import canonical_json, first_difference, sample_key
from hisa_eval.run.manifest import collect_environment, cpu_facts, git_facts, new_manifest, resumed_manifest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PARTS = st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=5)


@given(PARTS)
def test_key_ignores_the_order_of_parts(parts: dict[str, Any]) -> None:
    backward = dict(reversed(parts.items()))
    assert sample_key(backward) == sample_key(parts)
    assert len(sample_key(parts)) == 64


@given(PARTS, JSON)
def test_key_changes_with_any_part(parts: dict[str, Any], value: Any) -> None:
    name = next(iter(parts))
    changed = {**parts, name: value}
    same = canonical_json(value) == canonical_json(parts[name])
    assert (sample_key(changed) == sample_key(parts)) is same
    found = first_difference(parts, changed)
    assert (found is None) is same


def test_groups_of_settings_in_a_list_are_looked_into_and_other_lists_are_one_setting() -> None:
    old = {"parts": [{"topk": 1, "lengths": [4, 8]}, {"topk": 2}]}
    assert first_difference(old, {"parts": [{"topk": 1, "lengths": [4, 8]}, {"topk": 3}]}) == (
        "parts.1.topk",
        "2",
        "3",
    )
    assert first_difference(old, {"parts": [{"topk": 1, "lengths": [4, 9]}, {"topk": 2}]}) == (
        "parts.0.lengths",
        "[4,8]",
        "[4,9]",
    )
    fewer = first_difference(old, {"parts": old["parts"][:1]})
    assert fewer is not None
    assert fewer.name == "parts"


def test_another_version_cannot_be_set_back() -> None:
    found = first_difference({"rows": 4}, {"rows": 4, "version": 2})
    assert found == ("version", "(not set)", "2")
    assert "set version back" not in found.mend("run")
    other = first_difference({"rows": 4}, {"rows": 5})
    assert other is not None
    assert "set rows back to resume that run" in other.mend("run")


def test_key_is_what_it_was() -> None:
    parts = {"model": "nano", "length": 8192, "depth": 50.0}
    assert sample_key(parts) == "428f3d66d7dfa4fde30c309a77279e3b9d38e078d29953437af474aa1d9b07ff"


def test_key_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        sample_key({"score": float("nan")})


def test_environment_is_json_and_names_the_versions_in_use() -> None:
    facts = collect_environment(
        command="niah", seed=3, indexers=[{"label": "dsa", "settings": {}}], argv=["niah"]
    )
    assert json.loads(canonical_json(facts)) == facts
    assert facts["versions"]["torch"] == metadata.version("torch")
    assert facts["versions"]["python"] == sys.version.split()[0]
    assert facts["argv"] == ["hisa-eval", "niah"]
    assert facts["seed"] == 3
    assert cpu_facts()["cores"] >= 1


def test_git_facts_inside_and_outside_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "repo" / "hisa_eval"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    assert git_facts(package) is None

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(
            ["git", "-C", str(tmp_path / "repo"), *who, *arguments], check=True, capture_output=True
        )

    git("init")
    assert git_facts(package) is None
    git("add", "hisa_eval")
    git("commit", "-m", "start")
    facts = git_facts(package)
    assert facts is not None
    assert len(facts["revision"]) == 40
    assert facts["dirty"] is False
    (tmp_path / "repo" / "notes.txt").write_text("not a source")
    assert git_facts(package) == facts
    (package / "__init__.py").write_text("x = 1\n")
    assert git_facts(package) == {**facts, "dirty": True}


def test_a_copy_without_history_may_name_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HISA_EVAL_REVISION", "abc123")
    assert git_facts(tmp_path) == {"revision": "abc123", "dirty": None}
    monkeypatch.delenv("HISA_EVAL_REVISION")
    assert git_facts(tmp_path) is None


def test_resumed_session_says_what_changed() -> None:
    first = collect_environment(command="niah", argv=["niah"])
    manifest = new_manifest({"a": 1}, first)
    again = resumed_manifest(manifest, first)
    assert "changed" not in again["sessions"][1]
    upgraded = {**first, "versions": {**first["versions"], "torch": "99"}}
    session = resumed_manifest(manifest, upgraded)["sessions"][1]
    assert list(session["changed"]) == ["versions"]
    assert manifest["versions"] == first["versions"]
