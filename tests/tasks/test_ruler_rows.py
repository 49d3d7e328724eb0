"""Rows of the official RULER generator: our templates rebuild them byte for byte, our metric scores them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hisa_tasks.metrics.string_match_all import string_match_all
from hisa_tasks.niah import NiahTask, score
from hisa_tasks.niah.needles.ruler import ANSWER_PREFIX, INTRO, QUESTION, needle_sentence, singular
from hisa_tasks.sample import Tokenizer

LINE = re.compile(r"One of the special magic uuids for (\S+) is: (\S+)\.")


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[dict[str, object]]:
    text = (shared_data / "ruler" / "niah_multikey_3.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def test_templates_rebuild_the_rows(rows: list[dict[str, object]]) -> None:
    assert len(rows) == 40
    for row in rows:
        text = str(row["input"])
        needles = LINE.findall(text)
        query = re.findall(r"special magic uuid for (\S+) mentioned", text)[-1]
        intro, question, prefix = (
            singular(part).format(kind="uuid", query=query) for part in (INTRO, QUESTION, ANSWER_PREFIX)
        )
        context = "\n".join(needle_sentence("uuids", key, value).sentence for key, value in needles)
        assert intro + context + question + prefix == text
        assert [value for key, value in needles if key == query] == row["outputs"]


def test_metric_on_the_rows(rows: list[dict[str, object]]) -> None:
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        (answer,) = row["outputs"]  # type: ignore[misc]
        assert string_match_all([answer], f" {answer.upper()}.\n\nWhat else?") == 1.0
        assert string_match_all([answer], str(other["outputs"])) == 0.0
        assert string_match_all([answer], answer[:-1]) == 0.0


@pytest.mark.parametrize("needle", ["single-number", "multikey", "multiquery", "san-francisco"])
def test_essays_as_haystack(needle: str, shared_data: Path, byte_tokenizer: Tokenizer) -> None:
    task = NiahTask(needle, str(shared_data / "pg_essays"))
    for length, depth, index in ((2048, 0, 0), (8192, 50, 1), (32768, 33.3, 2), (131072, 100, 3)):
        sample = task.sample(length, depth, index, byte_tokenizer)
        assert len(byte_tokenizer.encode(sample.prompt)) + 128 == length
        assert abs(sample.meta["depth_actual"] - depth) < 100 * 1000 / length
        answer = " ".join(sample.prompt[start:end] for start, end in sample.evidence)
        assert score(sample, answer) == 1.0
