"""What `hisa-eval niah` does when nothing is said.

Plain data without any import, so that the help page can show it at once.
"""

from __future__ import annotations

from typing import Any

NIAH: dict[str, Any] = {
    "lengths": "2k..16k",
    "depths": "5",
    "samples": 1,
    "needle": "single-number",
    "distractors": None,
    "haystack": "prose",
    "indexer": "dsa,hisa,block-sparse",
    "model": "nano",
    "topk": None,
    "device": "auto",
    "dtype": "auto",
    "seed": 0,
    "max_new_tokens": None,
    "probe": True,
}
"""Field name -> value, as it would be written on the command line; None leaves it to the model or task."""

RESULTS = "results"
"""Folder that runs land in unless `--out` names one."""
