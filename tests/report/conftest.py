"""Made-up runs for the tests of the report."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hisa_eval.run.canonical import sample_key
from hisa_eval.run.store import RunStore

STRENGTH = {"dsa": 0.0, "hisa": 0.35, "block-sparse": 0.7}
EXACT = {"hisa": 8192, "block-sparse": 2048}


def make_records(
    indexers: Sequence[str],
    lengths: Sequence[int],
    depths: Sequence[float],
    samples: int,
    layers: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Records in grid order, with scores that fall with length and towards the middle."""
    rng = random.Random(seed)
    records = []
    for length in lengths:
        for depth in depths:
            for sample in range(samples):
                for indexer in indexers:
                    name = indexer.split(":")[0]
                    risk = (
                        STRENGTH.get(name, 0.5)
                        * (0.1 if depth in (0, 100) else 1)
                        * (length > EXACT.get(name, 0))
                    )
                    score = float(rng.random() > risk)
                    records.append(
                        _record(rng, indexer, length, depth, sample, score, layers if name != "none" else 0)
                    )
    return records


def _record(
    rng: random.Random, indexer: str, length: int, depth: float, sample: int, score: float, layers: int
) -> dict[str, Any]:
    sample_id = f"niah/single-number/prose/{length}/d{depth:g}/s{sample}"
    answer = str(rng.randrange(10**6, 10**7))
    return {
        "key": sample_key({"id": sample_id, "indexer": indexer}),
        "sample_id": sample_id,
        "task": "niah",
        "indexer": indexer,
        "length": length,
        "depth": depth,
        "sample": sample,
        "needle": "single-number",
        "haystack": "prose",
        "prompt_sha256": hashlib.sha256(sample_id.encode()).hexdigest(),
        "prompt_head": "A special magic number is hidden within the following text.",
        "prompt_tail": "What is the special magic number for <b>rowan & birch</b>? The number is",
        "n_prompt_tokens": length - 16,
        "n_total_tokens": length,
        "max_new_tokens": 16,
        "prediction": answer if score else "</td><script>alert(1)</script> 42\nnot it",
        "references": [answer],
        "score": score,
        "status": "ok",
        "reason": None,
        "finish_reason": "stop" if score else "length",
        "n_generated": 8,
        "seconds": {"prefill": length / 1e4 * rng.uniform(0.9, 1.1), "decode": 0.2, "build": 0.01},
        "n_reused_tokens": 0 if sample == 0 else length // 2,
        "selection": {"layers": [_layer(rng, indexer, length, layer, score) for layer in range(layers)]},
    }


def _layer(rng: random.Random, indexer: str, length: int, layer: int, score: float) -> dict[str, Any]:
    name = indexer.split(":")[0]
    beyond = 16 if length > EXACT.get(name, 10**9) else 0
    fall = STRENGTH.get(name, 0.5) * (0.3 + 0.7 * layer / 4)
    ious = [round(max(0.02, 1 - fall * rng.random() - fall / 2), 4) for _ in range(beyond)]
    recalls = [2 * iou / (1 + iou) for iou in ious]

    def figures(rows: int, own: list[float], other: list[float]) -> dict[str, Any]:
        ones = rows - len(own)
        return {
            "rows": rows,
            "iou_sum": sum(own) + ones,
            "iou_min": min(own, default=1.0 if ones else 0.0),
            "recall_sum": sum(other) + ones,
            "recall_min": min(other, default=1.0 if ones else 0.0),
        }

    last = ious[-1] if ious else 1.0
    return {
        "layer": layer,
        "all": figures(24, ious, recalls),
        "beyond": figures(beyond, ious, recalls),
        "iou_values": ious,
        "last_row": {"visible": length, "iou": last, "recall": 2 * last / (1 + last)},
        "evidence": round(rng.uniform(0.6, 1) if score else rng.uniform(0, 0.3), 3),
    }


def write_run(
    path: Path,
    *,
    indexers: Sequence[str] = ("dsa", "hisa", "block-sparse"),
    lengths: Sequence[int] = (8192, 16384),
    depths: Sequence[float] = (0.0, 50.0, 100.0),
    samples: int = 2,
    layers: int = 2,
    seed: int = 0,
    model: str = "nano",
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None,
) -> Path:
    """A finished run in `path`; `change` edits the records before they are stored."""
    settings = {
        "lengths": list(lengths),
        "depths": list(depths),
        "samples": samples,
        "model": model,
        "topk": 2048,
    }
    environment = {
        "command": "niah",
        "argv": ["hisa-eval", "niah", "--lengths", "8k..16k", "--model", model],
        "versions": {"python": "3.11", "hisa-eval": "0.1.0"},
        "git": {"revision": "0" * 40, "dirty": False},
        "model": {"name": model, "description": f"{model}: a small byte-level model & <i>nothing</i> else."},
        "indexers": [{"label": label, "settings": {"topk": 2048}} for label in indexers],
        "seed": seed,
    }
    records = make_records(indexers, lengths, depths, samples, layers, seed)
    with RunStore.create_or_open(path, settings, environment) as store:
        for record in change(records) if change else records:
            store.append(record)
    return path


def failed(
    record: dict[str, Any], reason: str = "out of memory: 9.1 GB needed & 8 GB free"
) -> dict[str, Any]:
    """`record` as it would be had its sample failed."""
    return {
        **record,
        "status": "failed",
        "score": None,
        "reason": reason,
        "prediction": "",
        "finish_reason": None,
        "seconds": {"prefill": None, "decode": None, "build": 0.01},
        "selection": {},
    }


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """`write_run`."""
    return write_run


@pytest.fixture(scope="session")
def fail() -> Callable[..., dict[str, Any]]:
    """`failed`."""
    return failed
