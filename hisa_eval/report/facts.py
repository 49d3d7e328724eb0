"""What ran, in plain words, from the manifest."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from hisa_eval.report.study import Run


def run_facts(run: Run) -> list[tuple[str, str]]:
    """Name and value of what a reader should know of a run, in reading order.

    Args:
        run: A run, read.
    """
    manifest = run.manifest
    settings = manifest["settings"]
    model = manifest.get("model") or {}
    facts = [
        ("Model", run.model if model or settings.get("model") else ""),
        ("What it is", model.get("description")),
        ("Architecture", _architecture(model)),
        ("Checkpoint", _named(model, "sha256", "checkpoint_sha256", "checkpoint", "revision")),
        ("Token budget k", _plain(settings.get("topk") or model.get("topk") or model.get("index_topk"))),
        ("Samples per cell", _plain(settings.get("samples"))),
        ("Tasks", _list(settings.get("tasks"))),
        ("Suite", _plain(settings.get("suite"))),
        ("Long prompts", _plain(settings.get("truncate"))),
        ("Most prompt tokens", _plain(settings.get("max_prompt_tokens"))),
        ("Left out", _list(settings.get("left_out"))),
        ("Needle", _plain(settings.get("needle"))),
        ("Distractor needles", _plain(settings.get("distractors"))),
        ("Haystack", _plain(settings.get("haystack"))),
        ("Seed", _plain(manifest.get("seed"))),
        ("Device", _pairs(manifest.get("device"))),
        ("Processor", _pairs(manifest.get("cpu"))),
        ("Platform", manifest.get("platform")),
        ("Versions", _versions(manifest.get("versions"))),
        ("Source", _git(manifest.get("git"))),
        ("Started", _plain(manifest.get("created"))),
        ("Sessions", _sessions(manifest)),
        ("Task data", _data(manifest.get("task_data"))),
    ]
    return [(name, value) for name, value in facts if value]


def indexer_facts(run: Run) -> list[tuple[str, str]]:
    """Label and options of every indexer of a run."""
    return [
        (str(one["label"]), _pairs(one.get("settings")) or "no options")
        for one in run.manifest.get("indexers") or ()
    ]


def command_line(run: Run) -> str:
    """The command that makes the same numbers, as first typed; empty where it was not kept."""
    sessions = run.manifest.get("sessions") or [{}]
    return shlex.join(sessions[0].get("argv") or run.manifest.get("argv") or [])


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return _pairs(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _list(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else _plain(value)


def _pairs(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _plain(value)
    return ", ".join(
        f"{name.replace('_', ' ')} {_plain(one)}" for name, one in value.items() if one is not None
    )


def _named(facts: Mapping[str, Any], *names: str) -> str:
    return next((_plain(facts[name]) for name in names if facts.get(name)), "")


def _architecture(model: Mapping[str, Any]) -> str:
    counts = [
        (f"{model[name]:,}" if isinstance(model[name], int) else _plain(model[name])) + f" {meaning}"
        for name, meaning in (
            ("parameters", "parameters"),
            ("layers", "layers"),
            ("index_heads", "index heads"),
            ("index_head_dim", "wide each"),
        )
        if model.get(name)
    ]
    parts = [_plain(model.get("architecture")), *counts, _plain(model.get("dtype"))]
    return ", ".join(part for part in parts if part)


def _data(value: Any) -> str:
    """The hash alone where the task also says what went into it; the rest is in the manifest."""
    if isinstance(value, Mapping):
        found = _named(value, "data_hash", "sha256")
        return found or (_data(value["task"]) if value.get("task") else _pairs(value))
    return _plain(value)


def _versions(value: Any) -> str:
    return ", ".join(f"{name} {number}" for name, number in (value or {}).items())


def _git(value: Any) -> str:
    if not value:
        return ""
    if isinstance(value, str):
        return f"git {value[:12]}"
    return f"git {value['revision'][:12]}" + (", with uncommitted changes" if value.get("dirty") else "")


def _sessions(manifest: Mapping[str, Any]) -> str:
    sessions = manifest.get("sessions") or []
    changed = sorted({name for one in sessions for name in one.get("changed", ())})
    if len(sessions) < 2:
        return ""
    return f"{len(sessions)}, each finished what the one before had left" + (
        f"; changed on the way: {', '.join(changed)}" if changed else ""
    )
