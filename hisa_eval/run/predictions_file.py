"""A file of predictions that somebody made: one JSON object a line, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from hisa_eval.errors import UserError


class Line:
    """One object of the file.

    Args:
        path: The file.
        number: Of the line, from 1.
        values: The object.
    """

    def __init__(self, path: Path, number: int, values: Mapping[str, Any]) -> None:
        self.path = path
        self.number = number
        self.values = values

    def fail(self, what: str, fix: str = "mend that line") -> NoReturn:
        """Raise the one-line error for this line."""
        raise UserError(f"{self.path} line {self.number}: {what}", fix)

    @contextmanager
    def input_errors(self) -> Iterator[None]:
        """Turns the `ValueError` of a scorer, "what – fix", into the one-line error for this line."""
        try:
            yield
        except ValueError as error:
            what, dash, fix = str(error).partition(" – ")
            self.fail(what, fix if dash else "mend that line")

    def text(self, *names: str) -> str:
        """The first of the named fields that is there; it must be text."""
        name = self._present(names)
        value = self.values[name]
        if not isinstance(value, str):
            self.fail(f"field {name!r} is {_shown(value)}, not text")
        return value

    def answers(self, *names: str) -> list[str]:
        """The first of the named fields that is there: a list of texts or numbers, or one alone.

        Numbers are written out. One text alone is one answer; LongBench's scorer would take each of its
        characters for one.
        """
        name = self._present(names)
        value = self.values[name]
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in listed):
            self.fail(f"field {name!r} is {_shown(value)}, not a list of texts")
        return [str(one) for one in listed]

    def optional_texts(self, name: str) -> list[str] | None:
        """A list of texts, None where the field is missing or null."""
        value = self.values.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            self.fail(f"field {name!r} is {_shown(value)}, not a list of texts")
        return value

    def optional_number(self, name: str) -> float | None:
        """A number, None where the field is missing or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(f"field {name!r} is {_shown(value)}, not a number")
        return value

    def identity(self, default: str) -> str | int:
        """The field `id`, text or whole number as it stands there; a default where it is missing or null."""
        given = (self.values.get(name) for name in ("id", "_id"))
        value = next((one for one in given if one is not None), default)
        if isinstance(value, bool) or not isinstance(value, str | int):
            self.fail(f"field 'id' is {_shown(value)}, not text or a whole number")
        return value

    def _present(self, names: tuple[str, ...]) -> str:
        found = next((name for name in names if name in self.values), None)
        if found is not None:
            return found
        return self.fail(f"field {' or '.join(map(repr, names))} is missing", f"give every line {names[0]!r}")


def read_lines(path: Path) -> Iterator[Line]:
    """The objects of a file of JSON lines; empty lines are passed over.

    Lines end at a newline alone: predictions hold other line separators.

    Raises:
        UserError: the file cannot be read, a line is no JSON object, or there is none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"cannot read {path} ({why})", "give --predictions a file of JSON lines") from error
    n_found = 0
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"not valid JSON, {error}"
            raise UserError(f"{path} line {number} is damaged ({why})", "mend or remove that line") from error
        if not isinstance(values, dict):
            raise UserError(f"{path} line {number} is no JSON object", "mend or remove that line")
        n_found += 1
        yield Line(path, number, values)
    if not n_found:
        raise UserError(f"{path} holds no predictions", "write one JSON object a line into it")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
