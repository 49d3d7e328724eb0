"""Figure 2: what selection costs by context length, with a fixed budget of blocks and with a ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pandas as pd

from hisa_eval.paper.figures import draw_speedup
from hisa_eval.paper.item import Item
from hisa_eval.paper.published import DSA_MS, GPU, MLA_MS, QUERIES, SPEEDUPS, Speedup
from hisa_eval.paper.sources import latency_setting
from hisa_eval.paper.verdict import Claim, Verdict, missing, near
from hisa_eval.report.latency import device_line
from hisa_eval.report.latency_figure import draw_latency, drawn
from hisa_eval.report.latency_study import Batch, Measured, role
from hisa_eval.report.numbers import NOTHING, length_label, slug
from hisa_eval.report.page import Picture
from hisa_eval.report.table import Cell, Table

NAME = "F2"
TITLE = "Latency of the indexer by context length"


def speed_item(measured: Sequence[Measured]) -> Item:
    """Figure 2 with the speed-ups that the paper states."""
    found = choose(measured)
    if found is None:
        claims = [missing(NAME, _said(one), "a latency measurement") for one in SPEEDUPS]
        return Item(NAME, TITLE, claims=claims, missing="No latency measurement was given.")
    source, batch = found
    where = latency_setting(source.manifest, int(batch.records[0]["case"]["queries"]))
    data = speedups(batch)
    pictures = {
        f"F2-latency-{slug(name)}": Picture(
            partial(
                draw_latency, _of_maker(batch, name, where), device_line(source), source.attention(batch)
            ),
            f"Milliseconds of flat and hierarchical selection by {name}, stage by stage",
        )
        for name in dict.fromkeys(maker(one) for one in data["method"])
    }
    pictures |= {
        "F2-speedup": Picture(
            partial(draw_speedup, data, SPEEDUPS, where),
            "HISA's speed-up over flat selection, with the ratio of scored vectors and the paper's factors",
        ),
    }
    return Item(
        NAME, TITLE, pictures, [_table(data, source.attention(batch), where)], _claims(data, where, source)
    )


def choose(measured: Sequence[Measured]) -> tuple[Measured, Batch] | None:
    """The selection measured nearest to the paper's: on a GPU, with its heads, and queries closest to its."""
    candidates = [
        (source, batch)
        for source in measured
        for batch in source.batches()
        if batch.records[0]["case"]["kind"] == "selection"
        and any(r["status"] == "ok" and role(r) == "hisa" for r in batch.records)
    ]

    def distance(one: tuple[Measured, Batch]) -> tuple[Any, ...]:
        case = one[1].records[0]["case"]
        return (
            one[0].on_cpu,
            case["heads"] != 64,
            case["inputs"] != "random",
            abs(case["queries"] - QUERIES),
            -len(one[1].contexts),
        )

    return min(candidates, key=distance, default=None)


def maker(method: str) -> str:
    """Whose method it is: its name before what it computes."""
    return method.split(" + ")[0].removesuffix(" flat").removesuffix(" HISA")


def speedups(batch: Batch) -> pd.DataFrame:
    """Every timed hierarchical method by budget and context.

    Returns:
        Rows with `method`, `mode` (`fixed` or `ratio`), `context`, `ms` with its 10th and 90th percentile,
        `flat_ms` and `factor` against the fastest flat method of the same maker, `best_ms` and `best_factor`
        against the fastest of all, and `work`, the ratio of vectors that a query is scored against.
    """
    rows = []
    for record in batch.records:
        if role(record) != "hisa" or record["status"] != "ok":
            continue
        case = record["case"]
        own = [
            one
            for one in batch.records
            if role(one) == "flat"
            and one["status"] == "ok"
            and one["case"]["context"] == case["context"]
            and maker(one["method"]) == maker(record["method"])
        ]
        flat = min((float(one["total"]["ms"]) for one in own), default=float("nan"))
        best = batch.best_flat(case["context"])
        ms, best_ms = float(record["total"]["ms"]), float(best["total"]["ms"]) if best else float("nan")
        blocks = -(-case["context"] // case["block_size"])
        kept = case["num_blocks"] if case["num_blocks"] else blocks / case["ratio"]
        rows.append(
            {
                "method": record["method"],
                "mode": "ratio" if case["ratio"] else "fixed",
                "context": case["context"],
                "ms": ms,
                "p10": record["total"].get("p10"),
                "p90": record["total"].get("p90"),
                "passes": record["total"].get("passes"),
                "flat_ms": flat,
                "factor": flat / ms,
                "best_ms": best_ms,
                "best_factor": best_ms / ms,
                "work": case["context"] / (blocks + min(kept, blocks) * case["block_size"]),
            }
        )
    frame = pd.DataFrame(rows)
    return frame[frame["context"].isin(drawn(batch))].reset_index(drop=True)


def _of_maker(batch: Batch, name: str, where: str) -> Batch:
    """The methods of one maker, as the paper's figure has them; all flat ones where it has none."""
    own = [r for r in batch.records if maker(r["method"]) == name]
    flat = [] if _has_flat(own) else [r for r in batch.records if role(r) == "flat"]
    return replace(batch, records=(*flat, *own), title=f"{batch.title}; {where}")


def _has_flat(records: Sequence[dict[str, Any]]) -> bool:
    return any(role(one) == "flat" and one["status"] == "ok" for one in records)


def _said(one: Speedup) -> str:
    budget = "m = 64" if one.mode == "fixed" else "4:1"
    where = f"{length_label(one.context)}, {budget} ({one.source})"
    return f"HISA's indexer is {one.factor:g} times faster at {where}"


def _claims(data: pd.DataFrame, where: str, source: Measured) -> list[Claim]:
    claims = []
    for one in SPEEDUPS:
        rows = data[(data["mode"] == one.mode) & (data["context"] == one.context)]
        if not len(rows):
            claims.append(missing(NAME, _said(one), f"{length_label(one.context)} with that budget"))
            continue
        for row in rows.to_dict("records"):
            factor = row["factor"] if row["factor"] == row["factor"] else row["best_factor"]
            found = (
                f"{row['method']}: {factor:.2f} times its own maker's flat selection, "
                f"{row['best_factor']:.2f} times the fastest; median of {row['passes']} passes, "
                f"10th to 90th percentile {row['p10']:.3g} to {row['p90']:.3g} ms"
            )
            verdict, why = near(factor, one.factor)
            if source.on_cpu:
                verdict, why = Verdict.OTHER, "reference operators on a CPU say nothing about GPU kernels"
            claims.append(Claim(NAME, _said(one), found, verdict, why, where))
    claims.append(_growth(data, where))
    return claims


def _growth(data: pd.DataFrame, where: str) -> Claim:
    """With a fixed budget the advantage grows with the context."""
    said = "with a fixed budget the speed-up grows with the context (Figure 2a)"
    fixed = data[(data["mode"] == "fixed")].sort_values("context")
    texts, verdicts = [], []
    for method, own in fixed.groupby("method", sort=False):
        if own["context"].nunique() < 2:
            continue
        factors = list(own["factor"].fillna(own["best_factor"]))
        shown = ", ".join(
            f"{length_label(int(at))} {one:.2f}" for at, one in zip(own["context"], factors, strict=True)
        )
        texts.append(f"{method}: {shown}")
        verdicts.append(all(b > a for a, b in pairwise(factors)))
    if not verdicts:
        return missing(NAME, said, "two contexts with a fixed budget")
    verdict = Verdict.AGREES if all(verdicts) else Verdict.DIFFERS
    why = "it rises from each context to the next" if all(verdicts) else "it does not rise at every step"
    return Claim(NAME, said, "; ".join(texts), verdict, why, where)


def _table(data: pd.DataFrame, attention: float | None, where: str) -> Table:
    said = {(one.mode, one.context): f"{one.factor:g}" for one in SPEEDUPS}
    rows = []
    for row in data.to_dict("records"):
        spread = f"{row['ms']:.3g} [{row['p10']:.3g}, {row['p90']:.3g}]"
        own = NOTHING if row["factor"] != row["factor"] else f"{row['factor']:.2f}"
        rows.append(
            [
                Cell("m = 64" if row["mode"] == "fixed" else "4:1"),
                Cell(str(row["method"])),
                Cell(length_label(row["context"]), row["context"]),
                Cell(f"{row['best_ms']:.3g}", row["best_ms"]),
                Cell(spread, row["ms"]),
                Cell(own, row["factor"]),
                Cell(f"{row['best_factor']:.2f}", row["best_factor"]),
                Cell(f"{row['work']:.2f}", row["work"]),
                Cell(said.get((row["mode"], row["context"]), NOTHING)),
            ]
        )
    mla = f"; measured here: {attention:.3g} ms" if attention is not None else ""
    notes = [
        f"Measured on: {where}. Medians in ms with 10th and 90th percentile, top-k included.",
        f"The paper, on an {GPU}: DSA's indexer {DSA_MS:g} ms at 64K, the sparse attention behind it about "
        f"{MLA_MS:g} ms at every length{mla}. Its other points are only drawn.",
        "× own: against the fastest flat selection of the same maker, as in the paper (TileLang against "
        "TileLang); × best: against the fastest of all. Work: vectors a query is scored against, flat over "
        "HISA.",
    ]
    return Table(
        "F2-speedup",
        "Figure 2, latency of selection",
        ["budget", "method", "context", "flat, ms", "HISA, ms", "× own", "× best", "work", "× paper"],
        rows,
        data,
        notes,
        n_keys=3,
    )
