"""The data sets of LongBench: what each is asked with, scored by and grouped under."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

N_MINI = 21
"""Rows of each data set of `hisa_tasks.mini`."""
SUFFIX = "_e"
"""Ends the names of LongBench-E's data sets, as in the official files."""


@dataclass(frozen=True)
class Dataset:
    """One data set of LongBench v1.

    Attributes:
        name: Official name; the file is `NAME.jsonl`, LongBench-E's is `NAME_e.jsonl`.
        category: Key of `CATEGORIES`.
        language: `"en"`, `"zh"` or `"code"`.
        metric: Key of `hisa_tasks.longbench.scoring.METRICS`.
        max_new_tokens: Official room for the answer.
        n_rows: Rows of the official file.
        n_rows_e: Rows of LongBench-E's file; 0 where it has none.
        first_line: Only the first line of an answer is scored.
        chat_template: Chat models get the prompt inside their chat template.
        stop_at_newline: Generation ends at a newline, though not before the first token.

    Source: THUDM/LongBench at 2e00731f: pred.py, eval.py, config/dataset2maxlen.json, task.md; rows of
        LongBench-E as counted in the data archive by others (8,418 rows in its 34 files).
    """

    name: str
    category: str
    language: str
    metric: str
    max_new_tokens: int
    n_rows: int = 200
    n_rows_e: int = 0
    first_line: bool = False
    chat_template: bool = True
    stop_at_newline: bool = False


@dataclass(frozen=True)
class Category:
    """A group of data sets, as in the columns of the HISA paper's Table 1.

    Attributes:
        title: Full name, lm-eval's alias of the group.
        short: Column heading.
        lm_eval: lm-eval's name of the group.
    """

    title: str
    short: str
    lm_eval: str


CATEGORIES = {
    "single": Category("Single-Document QA", "SQA", "longbench_single"),
    "multi": Category("Multi-Document QA", "MQA", "longbench_multi"),
    "summarization": Category("Summarization", "Sum", "longbench_summarization"),
    "fewshot": Category("Few-shot Learning", "FS", "longbench_fewshot"),
    "synthetic": Category("Synthetic Tasks", "Syn", "longbench_synthetic"),
    "code": Category("Code Completion", "Code", "longbench_code"),
}

_RAW = {"chat_template": False}
_SHOTS = {"first_line": True, "chat_template": False}

DATASETS = {
    one.name: one
    for one in (
        Dataset("narrativeqa", "single", "en", "qa-f1", 128),
        Dataset("qasper", "single", "en", "qa-f1", 128, n_rows_e=224),
        Dataset("multifieldqa_en", "single", "en", "qa-f1", 64, n_rows=150, n_rows_e=150),
        Dataset("multifieldqa_zh", "single", "zh", "qa-f1-zh", 64),
        Dataset("hotpotqa", "multi", "en", "qa-f1", 32, n_rows_e=300),
        Dataset("2wikimqa", "multi", "en", "qa-f1", 32, n_rows_e=300),
        Dataset("musique", "multi", "en", "qa-f1", 32),
        Dataset("dureader", "multi", "zh", "rouge-l-zh", 128),
        Dataset("gov_report", "summarization", "en", "rouge-l", 512, n_rows_e=300),
        Dataset("qmsum", "summarization", "en", "rouge-l", 512),
        Dataset("multi_news", "summarization", "en", "rouge-l", 512, n_rows_e=294),
        Dataset("vcsum", "summarization", "zh", "rouge-l-zh", 512),
        Dataset("trec", "fewshot", "en", "classification", 64, n_rows_e=300, **_SHOTS),
        Dataset("triviaqa", "fewshot", "en", "qa-f1", 32, n_rows_e=300, **_SHOTS),
        Dataset("samsum", "fewshot", "en", "rouge-l", 128, n_rows_e=300, stop_at_newline=True, **_SHOTS),
        Dataset("lsht", "fewshot", "zh", "classification", 64, **_SHOTS),
        Dataset("passage_count", "synthetic", "en", "count", 32, n_rows_e=300),
        Dataset("passage_retrieval_en", "synthetic", "en", "retrieval", 32, n_rows_e=300),
        Dataset("passage_retrieval_zh", "synthetic", "zh", "retrieval-zh", 32),
        Dataset("lcc", "code", "code", "code-similarity", 64, n_rows=500, n_rows_e=300, **_RAW),
        Dataset("repobench-p", "code", "code", "code-similarity", 64, n_rows=500, n_rows_e=300, **_RAW),
    )
}

EXTENDED = tuple(name + SUFFIX for name, dataset in DATASETS.items() if dataset.n_rows_e)
"""Names of LongBench-E's data sets."""

MINI = {
    one.name: one
    for one in (
        Dataset("lookup", "single", "en", "qa-f1", 32, N_MINI, **_RAW),
        Dataset("two_documents", "multi", "en", "qa-f1", 48, N_MINI, **_RAW),
        Dataset("main_point", "summarization", "en", "rouge-l", 128, N_MINI, **_RAW),
        Dataset("label", "fewshot", "en", "classification", 32, N_MINI, **_SHOTS),
        Dataset("passage", "synthetic", "en", "retrieval", 16, N_MINI, **_RAW),
        Dataset("count", "synthetic", "en", "count", 16, N_MINI, **_RAW),
        Dataset("call", "code", "code", "code-similarity", 64, N_MINI, **_RAW),
    )
}
"""The generated data sets of `hisa_tasks.mini`: none of LongBench's, though scored like them. Their prompts
end with the beginning of the answer, so that a chat template would come between."""

BUCKETS = ("0-4k", "4-8k", "8k+")


def bucket(length: float) -> str:
    """LongBench-E's bucket of a row by its `length` field, in words or Chinese characters."""
    return BUCKETS[0] if length < 4000 else BUCKETS[1] if length < 8000 else BUCKETS[2]


def is_extended(name: str) -> bool:
    """Whether a name means LongBench-E's version of a data set."""
    return name in EXTENDED


def find_dataset(name: str) -> Dataset:
    """The data set of a name, of LongBench or LongBench-E.

    Raises:
        ValueError: None has that name; the closest one is suggested.
    """
    if name in DATASETS:
        return DATASETS[name]
    if name in EXTENDED:
        return DATASETS[name.removesuffix(SUFFIX)]
    close = difflib.get_close_matches(name, (*DATASETS, *EXTENDED), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"unknown LongBench data set {name!r} – {hint}known: {', '.join(DATASETS)}; or with _e")


def any_dataset(name: str) -> Dataset:
    """The data set of a name, of LongBench, LongBench-E or the generated suite `mini`.

    Raises:
        ValueError: None has that name.
    """
    return MINI[name] if name in MINI else find_dataset(name)


def official_rows(name: str) -> int:
    """Rows that the official file of a data set has, or that are generated for it."""
    dataset = any_dataset(name)
    return dataset.n_rows_e if is_extended(name) else dataset.n_rows


def expand(names: Iterable[str], among: Mapping[str, Dataset] = DATASETS) -> tuple[str, ...]:
    """Data sets that names stand for, each once, in the official order of first mention.

    Args:
        names: Data sets, categories (`"single"`), languages (`"en"`, `"zh"`), `"all"` or `"e"`.
        among: What groups are made of.

    Raises:
        ValueError: A name is unknown.
    """
    found: dict[str, None] = {}
    for name in names:
        if name == "all":
            group = tuple(among)
        elif name == "e":
            group = EXTENDED
        elif name in CATEGORIES:
            group = tuple(one.name for one in among.values() if one.category == name)
        elif name in ("en", "zh"):
            group = tuple(one.name for one in among.values() if one.language == name)
        else:
            if name not in among:
                find_dataset(name)
            group = (name,)
        found.update(dict.fromkeys(group))
    return tuple(found)
