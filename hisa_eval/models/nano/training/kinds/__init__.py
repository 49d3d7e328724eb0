"""Kinds of training questions beside needles, one a category of LongBench.

None of their sentences, words or names are those of the evaluation suite `hisa_tasks.mini`; what a two-layer
model could not know otherwise is shared: how an answer is written down.
"""

from __future__ import annotations

from hisa_eval.models.nano.training.exercise import Maker
from hisa_eval.models.nano.training.kinds.call import CallMaker
from hisa_eval.models.nano.training.kinds.chain import ChainMaker
from hisa_eval.models.nano.training.kinds.count import CountMaker
from hisa_eval.models.nano.training.kinds.label import LabelMaker
from hisa_eval.models.nano.training.kinds.lookup import LookupMaker
from hisa_eval.models.nano.training.kinds.main_point import MainPointMaker
from hisa_eval.models.nano.training.kinds.passage import PassageMaker

KINDS: dict[type[Maker], float] = {
    LookupMaker: 0.19,
    ChainMaker: 0.18,
    LabelMaker: 0.16,
    PassageMaker: 0.13,
    CountMaker: 0.13,
    CallMaker: 0.08,
    MainPointMaker: 0.13,
}
"""The kinds, each with its share among them."""
