"""What the commands do when nothing is said.

Plain data without any import, so that the help page can show it at once.
"""

from __future__ import annotations

from typing import Any

_ANSWERER: dict[str, Any] = {
    "indexer": "dsa,hisa,block-sparse",
    "model": "nano",
    "topk": None,
    "device": "auto",
    "dtype": "auto",
    "spread": "one",
    "tokenizer": None,
    "label": None,
    "concurrency": 1,
    "seed": 0,
    "probe": True,
}

NIAH: dict[str, Any] = {
    "lengths": "2k..16k",
    "depths": "5",
    "samples": 1,
    "needle": "single-number",
    "distractors": None,
    "haystack": "prose",
    "max_new_tokens": None,
    **_ANSWERER,
}
"""Field name -> value, as it would be written on the command line; None leaves it to the model or task."""

RULER: dict[str, Any] = {
    "lengths": "4k,8k",
    "tasks": None,
    "samples": 1,
    "data": None,
    "haystack": "prose",
    "max_new_tokens": None,
    **_ANSWERER,
}
"""The same of `hisa-eval ruler`."""

LONGBENCH: dict[str, Any] = {
    "suite": "v1",
    "tasks": None,
    "samples": None,
    "data": None,
    "partial": False,
    "truncate": "error",
    "max_prompt_tokens": None,
    "code_similarity": "difflib",
    **_ANSWERER,
}
"""The same of `hisa-eval longbench`."""

RESULTS = "results"
"""Folder that runs land in unless `--out` names one."""
