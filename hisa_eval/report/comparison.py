"""The table of a comparison of two indexers."""

from __future__ import annotations

import math

import pandas as pd

from hisa_eval.report.numbers import NOTHING, share, signed
from hisa_eval.report.table import Cell, Table
from hisa_eval.run.compare import RunComparison
from hisa_eval.stats.comparison import Difference

COLUMNS = ["task", "pairs", "contexts", "A", "B", "B − A", "95% interval", "p", "p (Holm)",
           "detectable", "better", "worse"]  # fmt: skip


def comparison_table(found: RunComparison) -> Table:
    """One row a task and one overall.

    Args:
        found: What was compared.
    """
    rows = [*found.comparison.tasks, found.comparison.overall]
    notes = [
        "Mean of paired score differences. The interval is a bootstrap over contexts, p the sign-flip "
        "permutation test over contexts, Holm's correction is over the tasks; detectable is the difference "
        "that would be found with probability 0.8 at level 0.05.",
        f"Without a score: {found.a.n_failed} samples of A, {found.b.n_failed} of B. Only in A: "
        f"{len(found.only_a)}, only in B: {len(found.only_b)}; they are left out.",
        f"Cut at the generation limit: {found.a.n_cut} answers of A, {found.b.n_cut} of B; they are scored "
        "like the others.",
    ]
    if any(math.isnan(row.low) for row in rows):
        notes.append(
            f"{NOTHING}: too few contexts, or none that differs, for an interval; more samples help."
        )
    return Table(
        "comparison",
        f"A = {found.a.name}, B = {found.b.name}",
        COLUMNS,
        [_cells(row) for row in rows],
        pd.DataFrame([row._asdict() for row in rows]),
        notes,
    )


def _cells(row: Difference) -> list[Cell]:
    interval = NOTHING if math.isnan(row.low) else f"[{signed(row.low)}, {signed(row.high)}]"
    return [
        Cell(row.task),
        Cell(str(row.n_pairs)),
        Cell(str(row.n_clusters)),
        Cell(share(row.mean_a)),
        Cell(share(row.mean_b)),
        Cell(signed(row.mean)),
        Cell(interval),
        *(Cell(NOTHING if math.isnan(value) else f"{value:.2g}") for value in (row.p, row.p_holm)),
        Cell(NOTHING if not 0 < row.smallest < math.inf else share(row.smallest)),
        Cell(str(row.better)),
        Cell(str(row.worse)),
    ]
