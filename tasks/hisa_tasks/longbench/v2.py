"""LongBench v2: 503 multiple-choice questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hisa_tasks.longbench import hub
from hisa_tasks.longbench.files import how_to_get
from hisa_tasks.longbench.fitting import Fit
from hisa_tasks.longbench.prompt import Cut, template_hash, templates
from hisa_tasks.longbench.rows import check_count, check_ids, records, text_field
from hisa_tasks.longbench.subsample import subsample
from hisa_tasks.sample import Sample, Tokenizer

NAME = "longbench-v2"
VERSION = 1
N_ROWS = 503
MAX_NEW_TOKENS = 128
LETTERS = ("A", "B", "C", "D")
DIFFICULTIES = ("easy", "hard")
LENGTHS = ("short", "medium", "long")
_FILES = ("data.json", "data.jsonl")
_TEMPLATES = "v2-prompts.json"
_MODE = "0shot"
_TEXTS = ("_id", "domain", "sub_domain", "question", "context", *(f"choice_{letter}" for letter in LETTERS))


@dataclass(frozen=True)
class Question:
    """One question; the fields are the file's, `choices` in the order of `LETTERS`."""

    id: str
    domain: str
    sub_domain: str
    difficulty: str
    length: str
    question: str
    choices: tuple[str, ...]
    answer: str
    context: str


def parse_questions(data: bytes, where: str, *, partial: bool = False) -> tuple[Question, ...]:
    """Read the questions of a JSON list or of JSON lines.

    Args:
        data: The file.
        where: Its name for messages.
        partial: Take any number of questions instead of all 503.

    Raises:
        ValueError: The file is damaged or not whole.
    """
    found: list[tuple[str, Mapping[str, Any]]]
    if data.lstrip()[:1] == b"[":
        try:
            loaded = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{where} is not valid JSON ({error}) – {how_to_get(hub.LONGBENCH_V2)}"
            ) from None
        for place, one in enumerate(loaded):
            if not isinstance(one, dict):
                raise ValueError(f"{where} entry {place} is no JSON object – {how_to_get(hub.LONGBENCH_V2)}")
        found = [(f"{where} entry {place}", one) for place, one in enumerate(loaded)]
    else:
        found = [(f"{where} line {number}", one) for number, one in records(data, where)]
    questions = tuple(_question(one, place) for place, one in found)
    check_ids([one.id for one in questions], where)
    check_count(len(questions), N_ROWS, where, partial=partial)
    return questions


def _question(record: Mapping[str, Any], where: str) -> Question:
    text = {name: text_field(record, name, where) for name in _TEXTS}
    return Question(
        id=text["_id"],
        domain=text["domain"],
        sub_domain=text["sub_domain"],
        difficulty=_one_of(record, "difficulty", DIFFICULTIES, where),
        length=_one_of(record, "length", LENGTHS, where),
        question=text["question"],
        choices=tuple(text[f"choice_{letter}"] for letter in LETTERS),
        answer=_one_of(record, "answer", LETTERS, where),
        context=text["context"],
    )


def _one_of(record: Mapping[str, Any], field: str, known: tuple[str, ...], where: str) -> str:
    value = text_field(record, field, where)
    if value not in known:
        raise ValueError(
            f"{where}: field {field!r} is {value!r}, not one of {', '.join(known)} – "
            "restore the file from where it came"
        )
    return value


def build_prompt(question: Question) -> str:
    """The official prompt without chain of thought; every part is stripped.

    Source: THUDM/LongBench, pred.py and prompts/0shot.txt.
    """
    parts = {"$DOC$": question.context, "$Q$": question.question}
    parts |= {f"$C_{letter}$": text for letter, text in zip(LETTERS, question.choices, strict=True)}
    prompt = templates(_TEMPLATES)[_MODE]
    for mark, text in parts.items():
        prompt = prompt.replace(mark, text.strip())
    return prompt


def cut_middle(text: str, limit: int, tokenizer: Tokenizer) -> Cut:
    """As v2 does it: both ends decoded together, and an odd limit keeps all its tokens."""
    ids = tokenizer.encode(text)
    if len(ids) <= limit:
        return Cut(text, len(ids), len(ids))
    kept = tokenizer.decode(ids[: limit // 2] + ids[-(limit - limit // 2) :])
    return Cut(kept, len(ids), len(tokenizer.encode(kept)))


@dataclass(frozen=True)
class LongBenchV2Task:
    """Settings of the task; the data are read and checked at once.

    Args:
        data: A folder with `data.json`, or that file (a JSON list or JSON lines); None for the hub's.
        samples: Questions, chosen by hash; None for all.
        seed: Of that choice.
        truncate: `"error"` or `"middle"`, for prompts that are too long.
        max_prompt_tokens: Most tokens of a prompt before any chat template; None for no limit.
        partial: Take a file with another number of questions than 503.

    Raises:
        ValueError: A number is out of range, or data missing, damaged or not whole.
    """

    data: str | None = None
    samples: int | None = None
    seed: int = 0
    truncate: str = "error"
    max_prompt_tokens: int | None = None
    partial: bool = False
    fit: Fit = field(init=False, repr=False, compare=False)
    questions: tuple[Question, ...] = field(init=False, repr=False, compare=False)
    file: str = field(init=False, repr=False, compare=False)
    file_sha256: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        path = _find(self.data)
        content = path.read_bytes()
        whole = parse_questions(content, str(path), partial=self.partial)
        asked = subsample(whole, self.samples, key=lambda one: one.id, seed=self.seed)
        object.__setattr__(self, "fit", Fit(self.truncate, self.max_prompt_tokens))
        object.__setattr__(self, "questions", asked)
        object.__setattr__(self, "file", str(path))
        object.__setattr__(self, "file_sha256", hashlib.sha256(content).hexdigest())

    def sample(self, question: Question, tokenizer: Tokenizer) -> Sample:
        """One sample: the official prompt of a question.

        Raises:
            PromptTooLongError: The prompt does not fit and may not be cut.
        """
        sample_id = f"{NAME}/{question.id}"
        cut = self.fit.apply(sample_id, build_prompt(question), tokenizer, cut_middle)
        context = hashlib.sha256(question.context.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return Sample(
            id=sample_id,
            task=NAME,
            prompt=cut.text,
            references=(question.answer,),
            max_new_tokens=MAX_NEW_TOKENS,
            length=cut.n_after + MAX_NEW_TOKENS,
            n_prompt_tokens=cut.n_after,
            group=f"{NAME}/{context}",
            meta={
                "dataset": NAME,
                "metric": "multiple-choice",
                "choice": True,
                "domain": question.domain,
                "sub_domain": question.sub_domain,
                "difficulty": question.difficulty,
                "length_class": question.length,
                "row": question.id,
                "context": context,
                "chat_template": True,
                "n_whole_prompt_tokens": cut.n_before,
                "n_cut": cut.n_before - cut.n_after,
            },
        )

    def iterate(self, tokenizer: Tokenizer) -> Iterator[Sample]:
        """Every sample, in the file's order.

        Raises:
            PromptTooLongError: A prompt does not fit and may not be cut.
        """
        for question in self.questions:
            yield self.sample(question, tokenizer)

    def describe(self) -> dict[str, Any]:
        """All that decides prompts and scores; JSON types only."""
        return {
            "task": NAME,
            "version": VERSION,
            "samples": self.samples,
            "seed": self.seed,
            "truncate": self.truncate,
            "max_prompt_tokens": self.max_prompt_tokens,
            "template_sha256": template_hash(templates(_TEMPLATES)[_MODE]),
            "file": self.file,
            "file_sha256": self.file_sha256,
            "asked": len(self.questions),
            "official_rows": N_ROWS,
        }

    def data_hash(self) -> str:
        """SHA-256 over every byte that decides a prompt: file, template and the choice of questions."""
        facts = [VERSION, self.truncate, self.max_prompt_tokens, self.file_sha256]
        chosen = [templates(_TEMPLATES)[_MODE], *(one.id for one in self.questions)]
        return hashlib.sha256(json.dumps([facts, chosen]).encode()).hexdigest()


def _find(data: str | None) -> Path:
    if data is None:
        return hub.fetch(hub.LONGBENCH_V2)
    path = Path(data).expanduser()
    for place in [path] if path.is_file() else [path / name for name in _FILES]:
        if place.is_file():
            return place
    missing = f"{_FILES[0]} is not in {path}" if path.is_dir() else f"there is no data at {path}"
    raise ValueError(f"{missing} – {how_to_get(hub.LONGBENCH_V2)}")
