"""Scores with their intervals: per cell, per length, and against flat DSA."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hisa_eval.report.study import Study
from hisa_eval.stats.interval import mean_interval
from hisa_eval.stats.paired import Paired, paired_difference

DIGITS = 6
"""Decimals kept in machine-readable tables."""


def score_row(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts, mean score and interval of a set of samples.

    The mean is over the samples that have a score; failed ones are counted beside it, never as zero.
    """
    ok = [one for one in samples if one["status"] == "ok"]
    interval = mean_interval([one["score"] for one in ok])
    sent = [int(one["n_total_tokens"]) for one in samples if one["n_total_tokens"] > 0]
    return {
        "n": len(ok),
        "n_failed": len(samples) - len(ok),
        "score": round(interval.mean, DIGITS),
        "ci_low": round(interval.low, DIGITS),
        "ci_high": round(interval.high, DIGITS),
        "ci_method": interval.method,
        "n_length_finishes": sum(one["finish_reason"] == "length" for one in ok),
        "tokens_min": min(sent, default=None),
        "tokens_max": max(sent, default=None),
    }


def grouped_scores(study: Study, by: Sequence[str]) -> pd.DataFrame:
    """`score_row` of every group, series in their own order.

    Args:
        study: What was run.
        by: Columns to group by beside the series, e.g. `["length", "depth"]`.

    Returns:
        One row per series and group, with the mean seconds last.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in study.samples.to_dict("records"):
        key = (one["series"], *(None if pd.isna(one[name]) else one[name] for name in by))
        groups.setdefault(key, []).append({str(name): value for name, value in one.items()})
    places = {label: place for place, label in enumerate(study.labels)}
    order = sorted(
        groups, key=lambda key: (places[key[0]], *((part is not None, part or 0) for part in key[1:]))
    )
    rows = [
        {
            **dict(zip(("indexer", *by), key, strict=True)),
            **score_row(groups[key]),
            **_mean_times(groups[key]),
        }
        for key in order
    ]
    frame = pd.DataFrame(rows, columns=["indexer", *by, *score_row([]), *_mean_times([])])
    whole = {"tokens_min", "tokens_max", "length"} & set(frame)
    return frame.astype(dict.fromkeys(whole, "Int64"))


def _mean_times(samples: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found = {}
    for name in ("prefill_seconds", "decode_seconds"):
        known = [one[name] for one in samples if one["status"] == "ok" and not pd.isna(one[name])]
        found[name] = sum(known) / len(known) if known else math.nan
    return found


def paired_at(samples: pd.DataFrame, label: str, baseline: str) -> Paired:
    """One series minus another on the samples that both scored with the same prompt.

    Args:
        samples: Rows of `Study.samples`.
        label: The series.
        baseline: The series that is subtracted.
    """
    ok = samples[samples["status"] == "ok"]
    return paired_difference(_scores(ok, baseline), _scores(ok, label))


def differences(study: Study, by: str = "length", groups: Sequence[int | str] | None = None) -> pd.DataFrame:
    """Each series minus flat DSA of the same run, paired on samples with the same prompt, by group.

    Args:
        study: What was run.
        by: Column of `Study.samples` to group by.
        groups: Its values in order; the study's lengths by default.

    Returns:
        One row per series and group, and one over everything (`by` empty); empty where no run holds flat DSA
        beside another indexer.
    """
    rows = []
    for one in study.series:
        if one.baseline is None:
            continue
        for group in [*(study.lengths if groups is None else groups), None]:
            part = study.samples if group is None else study.samples[study.samples[by] == group]
            found = paired_at(part, one.label, one.baseline)
            if not found.n_pairs:
                continue
            rows.append(
                {
                    "indexer": one.label,
                    "baseline": one.baseline,
                    by: group,
                    "n_pairs": found.n_pairs,
                    "difference": round(found.mean, DIGITS),
                    "ci_low": round(found.low, DIGITS),
                    "ci_high": round(found.high, DIGITS),
                    "n_better": found.better,
                    "n_worse": found.worse,
                    "sign_test_p": float(f"{found.p:.4g}"),
                }
            )
    frame = pd.DataFrame(rows)
    return frame.astype({"length": "Int64"}) if "length" in frame else frame


def _scores(samples: pd.DataFrame, label: str) -> dict[str, float]:
    own = samples[samples["series"] == label]
    names = own["sample_id"] + "\n" + own["prompt_sha256"].fillna("")
    return dict(zip(names, own["score"], strict=True))
