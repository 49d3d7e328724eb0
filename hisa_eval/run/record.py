"""The shape of one line of `samples.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict


class RowFigures(TypedDict):
    """Agreement with flat DSA over a set of query rows."""

    rows: int  # rows compared; where this is 0 the sums are 0 and the minima None
    iou_sum: float
    iou_min: float | None
    recall_sum: float
    recall_min: float | None


class LastRow(TypedDict):
    """Agreement on the prompt's last row, which decides the first answer token."""

    visible: int
    iou: float
    recall: float


class LayerFigures(TypedDict):
    """What the probe saw in one layer."""

    layer: int
    all: RowFigures
    beyond: RowFigures  # rows that see more keys than the indexer's exact range
    iou_values: list[float]  # rounded IoU of sampled rows of `beyond`
    last_row: LastRow
    evidence: float | None  # fraction of the answer's tokens that the answering rows selected


class Seconds(TypedDict):
    """Wall time of one sample."""

    prefill: float | None
    decode: float | None
    build: float | None


class SampleRecord(TypedDict):
    """One finished sample. Depth is in percent of the context; lengths are in tokens."""

    key: str  # `sample_key` of everything that changes the result
    sample_id: str
    task: str  # e.g. "niah", "ruler/vt"
    indexer: str  # label, options included
    length: int | None  # asked for; the power of two that holds it where each sample has its own
    depth: float | None  # None where a task has none
    sample: int
    needle: str
    haystack: str
    prompt_sha256: str
    prompt_head: str
    prompt_tail: str
    n_prompt_tokens: int
    n_total_tokens: int  # prompt and answer room: the real length
    max_new_tokens: int
    prediction: str
    references: list[str]
    score: float | None  # 0..1; None if and only if the sample failed
    status: Literal["ok", "failed"]
    reason: str | None  # why it failed
    finish_reason: Literal["stop", "length"] | None
    n_generated: int
    seconds: Seconds
    n_reused_tokens: int
    selection: dict[str, Any]  # {"layers": list[LayerFigures]}, empty if not probed
    details: NotRequired[dict[str, Any]]  # further facts of a suite's sample
    evidence_at: NotRequired[list[float]]  # where the answer's text begins, in percent of the prompt


def check_record(record: Mapping[str, Any]) -> None:
    """Refuse a record that a report could misread.

    Args:
        record: What is about to be appended.

    Raises:
        ValueError: a key field is missing, or status, score and reason contradict each other.
    """
    for name in ("key", "sample_id", "indexer"):
        if not isinstance(record.get(name), str) or not record[name]:
            raise ValueError(f"a sample record needs a non-empty {name!r}, got {record.get(name)!r}")
    score, reason = record.get("score"), record.get("reason")
    if record.get("status") == "ok":
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise ValueError(f"sample {record['sample_id']!r} is ok but its score is {score!r}")
        if not 0 <= score <= 1:
            raise ValueError(f"sample {record['sample_id']!r} has score {score!r}, outside 0..1")
    elif record.get("status") == "failed":
        if not reason:
            raise ValueError(f"sample {record['sample_id']!r} failed without a reason")
        if score is not None:
            raise ValueError(f"sample {record['sample_id']!r} failed but has score {score!r}")
    else:
        raise ValueError(
            f"status of {record['sample_id']!r} is {record.get('status')!r}, not 'ok' or 'failed'"
        )
