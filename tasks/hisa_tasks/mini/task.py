"""The generated suite as a task: LongBench's machinery over its own rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from hisa_tasks.longbench.catalog import CATEGORIES, DATASETS, MINI, expand, is_extended
from hisa_tasks.longbench.files import Loaded
from hisa_tasks.longbench.rows import parse_rows
from hisa_tasks.longbench.task import LongBenchTask
from hisa_tasks.mini.rows import VERSION, dataset_bytes

NAME = "mini"


@dataclass(frozen=True)
class MiniTask(LongBenchTask):
    """Settings of the task, as of `LongBenchTask`; there are no files to give.

    Raises:
        ValueError: A name is unknown or LongBench's, a number is out of range, or data files are given.
    """

    suite: ClassVar[str] = NAME
    version: ClassVar[int] = VERSION

    def _named(self) -> tuple[str, ...]:
        return mini_data_sets(self.datasets)

    def _load(self, names: tuple[str, ...]) -> Mapping[str, Loaded]:
        if self.data is not None or self.partial:
            raise ValueError("mini is generated and reads no files – leave --data and --partial away")
        found = {}
        for name in names:
            content, where = dataset_bytes(name), f"mini/{name}"
            rows = parse_rows(content, name, where)
            found[name] = Loaded(name, rows, where, hashlib.sha256(content).hexdigest())
        return found


def mini_data_sets(names: Iterable[str]) -> tuple[str, ...]:
    """Data sets of the suite that names stand for, in the suite's order.

    Args:
        names: Data sets, categories or `"all"`.

    Raises:
        ValueError: A name is unknown or LongBench's.
    """
    asked = tuple(names)
    for name in asked:
        if name in DATASETS or is_extended(name) or name in ("e", "zh"):
            raise ValueError(
                f"the generated suite mini has no {name} – ask LongBench's rows with --data or --suite v1"
            )
        if name not in (*MINI, *CATEGORIES, "all", "en"):
            raise ValueError(f"mini has no data set {name!r} – it has: {', '.join(MINI)}")
    known = expand(asked, MINI)
    return tuple(name for name in MINI if name in known)
