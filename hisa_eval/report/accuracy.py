"""Scores with their intervals: per cell, per length, and against flat DSA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hisa_eval.report.study import Study
from hisa_eval.stats.interval import mean_interval
from hisa_eval.stats.paired import paired_difference

DIGITS = 6
"""Decimals kept in machine-readable tables."""


def score_row(samples: pd.DataFrame) -> dict[str, Any]:
    """Counts, mean score and interval of a set of samples.

    The mean is over the samples that have a score; failed ones are counted beside it, never as zero.
    """
    ok = samples[samples["status"] == "ok"]
    interval = mean_interval(ok["score"].tolist())
    sent = samples["n_total_tokens"].dropna()
    sent = sent[sent > 0]
    return {
        "n": len(ok),
        "n_failed": len(samples) - len(ok),
        "score": round(interval.mean, DIGITS),
        "ci_low": round(interval.low, DIGITS),
        "ci_high": round(interval.high, DIGITS),
        "ci_method": interval.method,
        "n_length_finishes": int((ok["finish_reason"] == "length").sum()),
        "tokens_min": int(sent.min()) if len(sent) else None,
        "tokens_max": int(sent.max()) if len(sent) else None,
    }


def grouped_scores(study: Study, by: Sequence[str]) -> pd.DataFrame:
    """`score_row` of every group, series in their own order.

    Args:
        study: What was run.
        by: Columns to group by beside the series, e.g. `["length", "depth"]`.

    Returns:
        One row per series and group, with the mean seconds last.
    """
    rows = []
    for label in study.labels:
        own = study.samples[study.samples["series"] == label]
        groups = own.groupby(list(by), dropna=False, sort=True) if by else [((), own)]
        for key, group in groups:
            ok = group[group["status"] == "ok"]
            times = {f"{name}_seconds": ok[f"{name}_seconds"].mean() for name in ("prefill", "decode")}
            rows.append({"indexer": label, **dict(zip(by, key, strict=True)), **score_row(group), **times})
    frame = pd.DataFrame(rows)
    return frame.astype({name: "Int64" for name in ("tokens_min", "tokens_max", "length") if name in frame})


def differences(study: Study) -> pd.DataFrame:
    """Each series minus flat DSA of the same run, paired on samples with the same prompt, by length.

    Returns:
        One row per series and length, and one over all lengths (`length` empty); empty where no run holds
        flat DSA beside another indexer.
    """
    ok = study.samples[study.samples["status"] == "ok"]
    rows = []
    for one in study.series:
        if one.baseline is None:
            continue
        for length in [*study.lengths, None]:
            part = ok if length is None else ok[ok["length"] == length]
            found = paired_difference(_scores(part, one.baseline), _scores(part, one.label))
            if not found.n_pairs:
                continue
            rows.append(
                {
                    "indexer": one.label,
                    "baseline": one.baseline,
                    "length": length,
                    "n_pairs": found.n_pairs,
                    "difference": round(found.mean, DIGITS),
                    "ci_low": round(found.low, DIGITS),
                    "ci_high": round(found.high, DIGITS),
                    "n_better": found.better,
                    "n_worse": found.worse,
                    "sign_test_p": float(f"{found.p:.4g}"),
                }
            )
    return pd.DataFrame(rows).astype({"length": "Int64"}) if rows else pd.DataFrame()


def _scores(samples: pd.DataFrame, label: str) -> dict[str, float]:
    own = samples[samples["series"] == label]
    names = own["sample_id"] + "\n" + own["prompt_sha256"].fillna("")
    return dict(zip(names, own["score"], strict=True))
