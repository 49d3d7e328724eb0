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
    "suite": None,
    "tasks": None,
    "samples": None,
    "data": None,
    "partial": False,
    "truncate": "error",
    "max_prompt_tokens": None,
    "code_similarity": "difflib",
    "chat_template": "auto",
    "thinking": "none",
    **_ANSWERER,
    "model": None,
}
"""The same of `hisa-eval longbench`."""

MINI_MODEL = "nano-mini"
"""Who answers the suite `mini` where no model is named."""

FIDELITY: dict[str, Any] = {
    "lengths": "4k..16k",
    "depths": "random:5",
    "samples": 1,
    "rows": 64,
    "inputs": None,
    "synthetic": None,
    "heads": 16,
    "dim": 64,
    "run_with": "dsa",
    "precisions": "f32,bf16,fp8",
    "attention": True,
    "needle": "single-number",
    "distractors": None,
    "haystack": "prose",
    **_ANSWERER,
    "indexer": "hisa,block-sparse",
}
"""The same of `hisa-eval fidelity`."""

SWEEP: dict[str, Any] = {
    "lengths": "16k",
    "depths": "random:5",
    "samples": 1,
    "rows": 32,
    "inputs": None,
    "needle": "single-number",
    "distractors": None,
    "haystack": "prose",
    "accuracy": True,
    "budgets": None,
    "block_size": "32,64,128",
    "num_blocks": None,
    "ratio": "2,4,8",
    "pooling": None,
    "forced": None,
    "forced_in_budget": None,
    "block_score_dtype": None,
    **_ANSWERER,
    "indexer": "dsa,hisa,block-sparse",
    "probe": False,
}
"""The same of `hisa-eval sweep`."""

END_TO_END: dict[str, Any] = {
    "lengths": None,
    "repetitions": None,
    "max_new_tokens": None,
    "stock": None,
    **_ANSWERER,
    "probe": False,
}
"""The same of `hisa-eval latency --end-to-end`; None leaves it to the device."""

RESULTS = "results"
"""Folder that runs land in unless `--out` names one."""
