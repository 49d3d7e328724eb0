"""Made-up measurements, and small real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hisa_kernels.measure.case import Case

SMALL = Case(32, 1024, heads=4, dim=32, dtype="fp8", topk=128, block_size=32, num_blocks=8)


@pytest.fixture
def small() -> Case:
    """A case that a CPU measures in milliseconds and that prunes."""
    assert SMALL.prunes
    return SMALL


def made_up(
    method: str, family: str, context: int, stages: dict[str, float], *, status: str = "ok", **case: Any
) -> dict[str, Any]:
    """A record with chosen stage times in milliseconds."""
    shape = Case(1024, context, num_blocks=None if family == "flat" else 64, **case)
    record: dict[str, Any] = {
        "key": f"{method}-{context}-{shape.mode}",
        "method": method,
        "family": family,
        "case": {**shape.facts(), "most_blocks": None if family == "flat" else shape.most_blocks},
        "status": status,
    }
    if status != "ok":
        return {**record, "reason": "as the test wants it"}
    total = sum(stages.values())
    work = shape.work(family)
    assert work is not None
    return record | {
        "gate": {"rows": 4, "overlap": 0.9995, "outside_ties": 1.0},
        "stages": [
            {"name": name, "ms": ms, "p10": 0.9 * ms, "p90": 1.1 * ms, "floor_ms": ms / 2, "flop": 1e9 * ms}
            for name, ms in stages.items()
        ],
        "total": {
            "ms": total,
            "p10": 0.9 * total,
            "p90": 1.1 * total,
            "passes": 9,
            "floor_ms": total / 3,
            "flop": work.flop,
        },
        "peak_bytes": 3 << 20,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished measurement: two flat methods, one of them RED at 32K, and HISA."""
    records = [
        made_up("alpha + torch.topk", "flat", 32768, {"scores": 2.0, "top-k": 2.0}),
        made_up("beta + torch.topk", "flat", 32768, {}, status="red"),
        made_up("gamma HISA", "hisa", 32768, {"pool": 0.1, "refine": 0.5, "tokens": 0.4}),
        made_up("gamma HISA", "hisa", 32768, {"pool": 0.1, "refine": 0.2, "tokens": 0.2}, ratio=4.0),
        made_up("alpha + torch.topk", "flat", 65536, {"scores": 4.0, "top-k": 4.0}),
        made_up("beta + torch.topk", "flat", 65536, {"scores": 3.0, "top-k": 3.0}),
        made_up("gamma HISA", "hisa", 65536, {"pool": 0.2, "refine": 0.5, "tokens": 0.5}),
        made_up("gamma HISA", "hisa", 65536, {"pool": 0.2, "refine": 0.9, "tokens": 0.9}, ratio=4.0),
        made_up("gamma HISA", "hisa", 1 << 20, {"pool": 2.0, "refine": 0.5, "tokens": 0.5}),
        made_up("delta HISA", "hisa", 65536, {}, status="unavailable"),
    ]
    manifest = {
        "format_version": 1,
        "device": {"type": "cuda", "name": "Test GPU"},
        "ceilings": {"bytes_per_s": 4e12, "flop_per_s": {"fp8": 1.2e15}},
    }
    out = tmp_path / "measured"
    out.mkdir()
    (out / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (out / "results.json").write_text(json.dumps(records), encoding="utf-8")
    return out
