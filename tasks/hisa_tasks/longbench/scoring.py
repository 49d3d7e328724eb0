"""Scores of LongBench's answers, equal to the official scorer's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hisa_tasks.longbench.catalog import any_dataset
from hisa_tasks.longbench.thinking import strip_thinking
from hisa_tasks.metrics.classification import classification
from hisa_tasks.metrics.code_similarity import VARIANTS, code_similarity
from hisa_tasks.metrics.count import count
from hisa_tasks.metrics.qa_f1 import qa_f1
from hisa_tasks.metrics.qa_f1_zh import qa_f1_zh
from hisa_tasks.metrics.retrieval import retrieval, retrieval_zh
from hisa_tasks.metrics.rouge_l import rouge_l
from hisa_tasks.metrics.rouge_l_zh import rouge_l_zh
from hisa_tasks.sample import Sample

METRICS: dict[str, Callable[[Sequence[str], str], float]] = {
    "qa-f1": qa_f1,
    "qa-f1-zh": qa_f1_zh,
    "rouge-l": rouge_l,
    "rouge-l-zh": rouge_l_zh,
    "count": count,
    "retrieval": retrieval,
    "retrieval-zh": retrieval_zh,
    "code-similarity": code_similarity,
}
"""Metrics by the catalogue's names; `classification`, which needs the classes too, stands apart."""


def score_answer(
    name: str,
    references: Sequence[str],
    prediction: str,
    all_classes: Sequence[str] | None = None,
    *,
    code: str = VARIANTS[0],
) -> float:
    """How well a prediction answers a row of a data set.

    Args:
        name: Of the data set, with or without LongBench-E's "_e".
        references: Expected answers; the best counts, with none the score is 0.
        prediction: What the model generated.
        all_classes: Classes of the data set; needed for trec and lsht.
        code: Variant of the code similarity.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: The data set is unknown, classes are missing, or a metric's library is not installed.

    Source: THUDM/LongBench, eval.py.
    """
    if isinstance(references, str):
        raise ValueError(f"references are one string, {references!r} – give a sequence of strings")
    dataset = any_dataset(name)
    answer = scored_part(name, prediction)
    if dataset.metric == "classification":
        if all_classes is None:
            raise ValueError(f"{name} is scored against its classes, and none are given – fill all_classes")
        return classification(references, answer, all_classes)
    if dataset.metric == "code-similarity":
        return code_similarity(references, answer, code)
    return METRICS[dataset.metric](references, answer)


def scored_part(name: str, prediction: str) -> str:
    """What of a prediction is scored: for trec, triviaqa, samsum and lsht the first line that is not empty.

    Only newlines are dropped before it, no other white space.
    """
    return prediction.lstrip("\n").split("\n")[0] if any_dataset(name).first_line else prediction


def score(sample: Sample, prediction: str) -> float:
    """How well a prediction answers a sample of `LongBenchTask` or `LongBenchV2Task`; see `score_answer`.

    `meta` may name a rule of `thinking` by which thoughts are dropped first.
    """
    prediction = strip_thinking(prediction, str(sample.meta.get("thinking", "none")))
    if "choice" in sample.meta:
        from hisa_tasks.metrics.multiple_choice import multiple_choice

        return multiple_choice(sample.references, prediction)
    return score_answer(
        str(sample.meta["dataset"]),
        sample.references,
        prediction,
        sample.meta.get("all_classes"),
        code=str(sample.meta.get("code_similarity", VARIANTS[0])),
    )
