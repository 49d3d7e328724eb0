"""Options of an indexer: building them from text or keywords, showing them, and saying what is wrong."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from hisa_eval.errors import UserError, unknown_name

_BOUNDS = ((Ge, "ge", ">="), (Gt, "gt", ">"), (Le, "le", "<="), (Lt, "lt", "<"))
_NAMES = {int: "integer", float: "number", str: "text", bool: "true | false"}


class Options(BaseModel):
    """Base of an indexer's options: frozen, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=False)


O = TypeVar("O", bound=BaseModel)  # noqa: E741


@dataclass(frozen=True)
class OptionRow:
    """One option as `hisa-eval describe` shows it.

    Attributes:
        name: Option name.
        type: What it takes, in words (`"integer >= 1"`, `"mean | max"`).
        default: Default value as one would type it.
        description: What it does.
    """

    name: str
    type: str
    default: str
    description: str


def build_options(indexer: str, model: type[O], given: Mapping[str, Any]) -> O:
    """Validated options of an indexer.

    Args:
        indexer: Its name, for the error message.
        model: Its options model.
        given: Option values, as text from a command line or as Python values.

    Returns:
        An instance of `model`.

    Raises:
        UserError: an option is unknown, or a value is not one it takes.
    """
    fields = model.model_fields
    for name in given:
        if name not in fields:
            if not fields:
                raise UserError(f"{indexer}: unknown option {name!r}", f"{indexer} takes no options")
            raise unknown_name(f"{indexer} option", name, fields)
    values = {
        name: None
        if isinstance(value, str) and value.lower() == "none" and _optional(fields[name])
        else value
        for name, value in given.items()
    }
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if not first["loc"]:
            raise UserError(f"{indexer}: {_message(first)}", "see the option's description") from None
        name = str(first["loc"][0])
        field = fields[name]
        if first["type"] == "missing":
            raise UserError(f"{indexer}: option {name} is missing", f"{name} takes: {_type(field)}") from None
        default = "" if field.is_required() else f" (default {format_value(field.default)})"
        reason = f" ({_message(first)})" if first["type"] in ("value_error", "assertion_error") else ""
        raise UserError(
            f"{indexer}: {name}={format_value(given[name])} is not allowed{reason}",
            f"{name} takes: {_type(field)}{default}",
        ) from None


def make_label(indexer: str, options: BaseModel) -> str:
    """The indexer's name with every option that differs from its default; the registry can parse it back.

    Args:
        indexer: Its name.
        options: Its options.
    """
    changed = [
        f"{name}={format_value(getattr(options, name))}"
        for name, field in type(options).model_fields.items()
        if field.is_required() or getattr(options, name) != field.default
    ]
    return f"{indexer}:{','.join(changed)}" if changed else indexer


def option_rows(model: type[BaseModel]) -> list[OptionRow]:
    """The options table of an indexer.

    Args:
        model: Its options model.
    """
    return [
        OptionRow(
            name=name,
            type=_type(field),
            default="required" if field.is_required() else format_value(field.default),
            description=" ".join((field.description or "").split()),
        )
        for name, field in model.model_fields.items()
    ]


def format_value(value: Any) -> str:
    """An option value as one would type it on a command line.

    Args:
        value: The value.
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _message(error: Mapping[str, Any]) -> str:
    return " ".join(str(error["msg"]).removeprefix("Value error, ").split())


def _optional(field: FieldInfo) -> bool:
    return type(None) in get_args(field.annotation)


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    members = [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
    words = []
    for member in members:
        if get_origin(member) is Literal:
            words.append(" | ".join(format_value(value) for value in get_args(member)))
        else:
            words.append(_NAMES.get(member, getattr(member, "__name__", str(member))))
    bounds = [
        f"{sign} {format_value(getattr(limit, attribute))}"
        for limit in field.metadata
        for kind, attribute, sign in _BOUNDS
        if isinstance(limit, kind)
    ]
    text = " or ".join(words) + (" " + " and ".join(bounds) if bounds else "")
    return f"{text} or none" if _optional(field) else text
