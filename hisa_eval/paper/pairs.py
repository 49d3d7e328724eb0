"""Two indexers of one run, paired on the same prompts, in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from hisa_eval.paper.verdict import MARGIN, Claim, Verdict, missing
from hisa_eval.report.accuracy import paired_at
from hisa_eval.report.numbers import share, signed
from hisa_eval.report.study import Study
from hisa_eval.run.compare import MARK, compare_runs


class Gap(NamedTuple):
    """One indexer's mean score minus another's.

    `low` and `high` bound it (95 %); NaN where nothing allows an interval. `unlike` is an upper bound for the
    share of contexts that would differ, where none did.
    """

    mean: float
    low: float
    high: float
    n_pairs: int
    n_contexts: int
    unlike: float
    text: str


def gap(study: Study, label: str, baseline: str) -> Gap | None:
    """Paired difference over contexts, or over samples where there are fewer than ten contexts.

    Args:
        study: One run.
        label: The indexer.
        baseline: What is subtracted.
    """
    shown = {one.label: one.indexer for one in study.series}
    ok = study.samples[study.samples["status"] == "ok"]
    named = [set(ok.loc[ok["series"] == one, "sample_id"]) for one in (label, baseline)]
    if not named[0] & named[1]:
        return None
    folder = study.runs[0].path
    found = compare_runs(
        f"{folder}{MARK}{shown[baseline]}", f"{folder}{MARK}{shown[label]}"
    ).comparison.overall
    low, high, how = found.low, found.high, "interval over contexts"
    if math.isnan(low) and found.better + found.worse:
        own = paired_at(study.samples, label, baseline)
        low, high, how = own.low, own.high, "interval takes samples as independent, contexts are too few"
    bounds = f" [{signed(low)}, {signed(high)}], {how}" if not math.isnan(low) else ""
    same = found.better + found.worse == 0
    unlike = 1 - 0.05 ** (1 / found.n_clusters) if same else math.nan
    if same:
        bounds = f", no answer scored differently; at most {share(unlike)} of contexts would (95%)"
    text = (
        f"{label} {share(found.mean_b)}, {baseline} {share(found.mean_a)}; "
        f"difference {signed(found.mean)}{bounds}; "
        f"n = {found.n_pairs} pairs in {found.n_clusters} contexts"
    )
    return Gap(found.mean, low, high, found.n_pairs, found.n_clusters, unlike, text)


def claim(
    item: str,
    said: str,
    study: Study,
    labels: tuple[str | None, str | None],
    rule: Callable[[float, float], tuple[Verdict, str]],
    where: str,
) -> Claim:
    """A claim that one indexer stands to another as a rule of `hisa_eval.paper.verdict` says.

    Args:
        item: Of the paper.
        said: What the paper says.
        study: One run.
        labels: The indexer and the one that is subtracted; None where it did not run.
        rule: `close` or `better`.
        where: The run's setting.
    """
    label, baseline = labels
    found = gap(study, label, baseline) if label and baseline else None
    if found is None:
        return missing(item, said, "both indexers")
    if not math.isnan(found.unlike):
        if rule.__name__ == "close" and found.unlike <= MARGIN:
            return Claim(item, said, found.text, Verdict.AGREES, f"the bound lies within ±{MARGIN:g}", where)
        why = "no difference was seen, but contexts are too few to exclude one"
        return Claim(item, said, found.text, Verdict.OPEN, why, where)
    verdict, why = rule(found.low, found.high)
    return Claim(item, said, found.text, verdict, why, where)
