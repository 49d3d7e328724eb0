"""ROUGE-L F1 for Chinese: words of jieba, then as for English."""

from __future__ import annotations

from collections.abc import Sequence

from hisa_tasks.metrics.best import best
from hisa_tasks.metrics.chinese_words import chinese_words
from hisa_tasks.metrics.rouge_l import rouge_l_pair


def rouge_l_zh(references: Sequence[str], prediction: str) -> float:
    """ROUGE-L F1 over Chinese words with the best of the references.

    Formula: `rouge_l` of the texts with a space between every two words.

    Corner cases: those of `rouge_l`. Only the ASCII "." ends a sentence there, "。" is a word like any other;
    a long Chinese text is one sentence, and beyond about 990 words of prediction and reference together the
    original's recursion fails and the score is 0.

    Args:
        references: Expected answers.
        prediction: What the model generated.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: `jieba` or `rouge` is not installed.

    Source: THUDM/LongBench, metrics.py.
    """
    answer = " ".join(chinese_words(prediction))
    return best(lambda _, reference: _pair(answer, reference), references, prediction)


def _pair(answer: str, reference: str) -> float:
    return rouge_l_pair(answer, " ".join(chinese_words(reference)), official_depth=4)
