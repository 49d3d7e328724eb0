"""Rows of a LongBench file: read strictly, because a raw read that goes wrong changes every prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hisa_tasks.longbench.catalog import any_dataset, official_rows


@dataclass(frozen=True)
class Row:
    """One question.

    Attributes:
        id: The file's `_id`, unique in it.
        input: The question, possibly empty.
        context: The long text.
        answers: References, at least one.
        length: Words (English, code) or characters (Chinese) as the file gives them.
        all_classes: Classes of the data set; empty where it has none.
    """

    id: str
    input: str
    context: str
    answers: tuple[str, ...]
    length: int
    all_classes: tuple[str, ...]


def parse_rows(data: bytes, name: str, where: str, *, partial: bool = False) -> tuple[Row, ...]:
    """Read the rows of one data set.

    Lines end at "\\n" alone: fields hold "\\r" and Unicode line separators.

    Args:
        data: The file.
        name: Of the data set.
        where: The file's name for messages.
        partial: Take any number of rows instead of the official one.

    Returns:
        The rows in the file's order.

    Raises:
        ValueError: A line is damaged, a field is missing or of another type, an id comes twice, or rows are
            missing.
    """
    needs_classes = any_dataset(name).metric == "classification"
    rows = tuple(
        _row(record, f"{where} line {number}", needs_classes) for number, record in records(data, where)
    )
    check_ids([row.id for row in rows], where)
    check_count(len(rows), official_rows(name), where, partial=partial)
    return rows


def records(data: bytes, where: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line numbers and objects of a file of JSON lines; empty lines are passed over.

    Raises:
        ValueError: A line is not a JSON object in UTF-8.
    """
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            raise ValueError(f"{where} line {number} is not UTF-8 – {_RESTORE}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where} line {number} is not valid JSON ({error}) – {_RESTORE}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{where} line {number} is no JSON object – {_RESTORE}")
        yield number, record


_RESTORE = "restore the file from where it came"


def check_ids(ids: list[str], where: str) -> None:
    """Refuse an id that two rows have.

    Raises:
        ValueError: There is one.
    """
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise ValueError(f"{where} has two rows with the _id {one!r} – {_RESTORE}, or give each its own")
        seen.add(one)


def check_count(found: int, official: int, where: str, *, partial: bool) -> None:
    """Refuse a file that is not whole.

    Raises:
        ValueError: It has no row, or another number of them than the official file.
    """
    if found == 0:
        raise ValueError(f"{where} has no rows – {_RESTORE}")
    if found != official and not partial:
        raise ValueError(
            f"{where} has {found} rows and the official file {official} – {_RESTORE}, "
            "or use what is there with --partial"
        )


def text_field(record: Mapping[str, Any], field: str, where: str) -> str:
    """A field that must be text.

    Raises:
        ValueError: It is missing or something else.
    """
    value = record.get(field)
    if isinstance(value, str):
        if _is_whole(value):
            return value
        raise ValueError(f"{where}: field {field!r} holds half a surrogate pair, no character – {_RESTORE}")
    found = "is missing" if field not in record else f"is {_kind(value)}, not text"
    raise ValueError(f"{where}: field {field!r} {found} – {_RESTORE}")


def texts_field(record: Mapping[str, Any], field: str, where: str) -> tuple[str, ...]:
    """A field that must be a list of texts.

    Raises:
        ValueError: It is missing or something else.
    """
    value = record.get(field)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    found = "is missing" if field not in record else f"is {_kind(value)}, not a list of texts"
    raise ValueError(f"{where}: field {field!r} {found} – {_RESTORE}")


def _row(record: Mapping[str, Any], where: str, needs_classes: bool) -> Row:
    answers = texts_field(record, "answers", where)
    if not answers:
        raise ValueError(f"{where}: field 'answers' is empty – {_RESTORE}")
    length = record.get("length")
    if isinstance(length, bool) or not isinstance(length, int):
        found = "is missing" if "length" not in record else f"is {_kind(length)}, not a whole number"
        raise ValueError(f"{where}: field 'length' {found} – {_RESTORE}")
    has_classes = needs_classes or record.get("all_classes") is not None
    return Row(
        id=text_field(record, "_id", where),
        input=text_field(record, "input", where),
        context=text_field(record, "context", where),
        answers=answers,
        length=length,
        all_classes=texts_field(record, "all_classes", where) if has_classes else (),
    )


def _is_whole(text: str) -> bool:
    """Whether a text has a form in UTF-8, which tokenizers ask for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    names = {
        "NoneType": "null",
        "bool": "true or false",
        "str": "text",
        "list": "a list",
        "dict": "an object",
    }
    return names.get(type(value).__name__, "a number")
