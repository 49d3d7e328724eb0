"""QA F1 for Chinese: token overlap after word segmentation."""

from __future__ import annotations

import string
from collections.abc import Sequence

from hisa_tasks.metrics.best import best
from hisa_tasks.metrics.chinese_words import chinese_words
from hisa_tasks.metrics.token_f1 import token_f1

_MARKS = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿"
    "–—‘’‛“”„‟…‧﹏."
)
"""Listed in the original; "《" is not among them, so it stays in a word of its own."""
_DELETED = str.maketrans("", "", string.punctuation + _MARKS)


def normal_words(text: str) -> list[str]:
    """Words of an answer: cut first, then lower-cased and freed of punctuation and white space."""
    words = ("".join(word.lower().translate(_DELETED).split()) for word in chinese_words(text))
    return [word for word in words if word]


def qa_f1_zh(references: Sequence[str], prediction: str) -> float:
    """Word F1 with the best of the references.

    Formula: `token_f1` of the normal words of both texts.

    Corner cases: the raw text is cut, so punctuation guides the cut before it is deleted; pieces without a
    letter or digit vanish; empty answers score 0.

    Args:
        references: Expected answers.
        prediction: What the model generated.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: jieba is not installed.

    Source: THUDM/LongBench, metrics.py.
    """
    return best(lambda one, other: token_f1(normal_words(one), normal_words(other)), references, prediction)
