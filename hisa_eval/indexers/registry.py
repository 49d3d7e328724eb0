"""Finds indexers by name, built in or from any installed distribution, and reads `name:option=value`.

torch is not imported here, and by the built-in variants only when they select.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from hisa_eval.errors import UserError, unknown_name
from hisa_eval.indexers.options import OptionRow, build_options, option_rows

if TYPE_CHECKING:
    from hisa_eval.indexers.base import Indexer

GROUP = "hisa_eval.indexers"
"""Entry-point group: name = the indexer's name, value = `module:Class`."""

BUILTIN: Mapping[str, str] = {
    "dsa": "hisa_eval.indexers.dsa:DsaIndexer",
    "hisa": "hisa_eval.indexers.hisa:HisaIndexer",
    "block-sparse": "hisa_eval.indexers.block_sparse:BlockSparseIndexer",
    "hisa-multi": "hisa_eval.indexers.hisa_multi:HisaMultiIndexer",
    "hisa-overlap": "hisa_eval.indexers.hisa_overlap:HisaOverlapIndexer",
    "hisa-adaptive": "hisa_eval.indexers.hisa_adaptive:HisaAdaptiveIndexer",
    "hisa-exact": "hisa_eval.indexers.hisa_exact:HisaExactIndexer",
    "misa": "hisa_eval.indexers.misa:MisaIndexer",
    "index-cache": "hisa_eval.indexers.index_cache:IndexCacheIndexer",
    "step-reuse": "hisa_eval.indexers.step_reuse:StepReuseIndexer",
}
"""Found without an installed distribution too, so that a source tree runs as it is."""

_MEMBERS = ("name", "label", "settings", "exact_below", "new_state", "select")


@dataclass(frozen=True)
class Description:
    """An indexer as `hisa-eval describe` shows it.

    Attributes:
        name: Registered name.
        summary: First line of the class's docstring.
        doc: The whole docstring.
        options: Its options.
        origin: `"built in"`, or the distribution that brings it.
    """

    name: str
    summary: str
    doc: str
    options: tuple[OptionRow, ...]
    origin: str


def available() -> list[str]:
    """Names of all registered indexers: the built-in ones first, then others by name. Loads none of them."""
    return [*BUILTIN, *sorted(set(_outside()) - set(BUILTIN))]


def get(name: str) -> Callable[..., Indexer]:
    """The class behind a name.

    Args:
        name: Registered name.

    Returns:
        A class that is called with the indexer's options as keywords.

    Raises:
        UserError: the name is unknown, is claimed twice, or what it points to cannot be loaded.
    """
    outside = _outside()
    claims = outside.get(name, [])
    owners = ["hisa-eval (built in)"] * (name in BUILTIN) + [_origin(point) for point in claims]
    if not owners:
        raise unknown_name("indexer", name, [*BUILTIN, *outside])
    if len(owners) > 1:
        raise UserError(
            f"indexer {name!r} is registered by {' and '.join(owners)}", "uninstall one, or have it renamed"
        )
    if not claims:
        module, _, attribute = BUILTIN[name].partition(":")
        return getattr(import_module(module), attribute)
    return _load(name, claims[0])


def parse(spec: str) -> Indexer:
    """An indexer from `name` or `name:option=value,option=value`.

    Args:
        spec: What was typed, e.g. `"hisa:block_size=64,num_blocks=128,ratio=4"`.

    Raises:
        UserError: the name or an option is unknown, a value is not allowed, or the grammar is broken.
    """
    name, colon, rest = spec.strip().partition(":")
    name = name.strip()
    if not name:
        raise UserError(f"indexer {spec!r} has no name", f"known: {', '.join(available())}")
    cls = get(name)
    given: dict[str, str] = {}
    for piece in rest.split(",") if colon else []:
        option, equals, value = (part.strip() for part in piece.partition("="))
        if not option or not equals or not value:
            raise UserError(
                f"{name}: {piece.strip()!r} is not an option", f"write {name}:option=value,option=value"
            )
        if option in given:
            raise UserError(f"{name}: option {option} is given twice", "keep one of them")
        given[option] = value
    return _make(name, cls, given)


def parse_list(specs: str) -> list[Indexer]:
    """Indexers from a comma-separated list in which options may hold commas too.

    Args:
        specs: What was typed, e.g. `"dsa,hisa:block_size=64,num_blocks=128,block-sparse"`: a piece
            `option=value` belongs to the indexer before it.

    Raises:
        UserError: as `parse`, or an indexer comes twice with the same options.
    """
    indexers: dict[str, Indexer] = {}
    for spec in split_list(specs):
        indexer = parse(spec)
        if indexer.label in indexers:
            raise UserError(f"indexer {indexer.label!r} is given twice", "keep one of them")
        indexers[indexer.label] = indexer
    return list(indexers.values())


def split_list(specs: str) -> list[str]:
    """The single specs of a comma-separated list, without looking up any name.

    Args:
        specs: As for `parse_list`.

    Raises:
        UserError: a piece is empty, or an option has no indexer before it.
    """
    found: list[str] = []
    for piece in (part.strip() for part in specs.split(",")):
        if not piece:
            raise UserError(f"indexer list {specs!r} has an empty piece", "write dsa,hisa,block-sparse")
        equals, colon = piece.find("="), piece.find(":")
        is_option = equals >= 0 and not 0 <= colon < equals
        if not is_option:
            found.append(piece)
        elif found and ":" in found[-1]:
            found[-1] += f",{piece}"
        elif found:
            raise UserError(
                f"option {piece!r} follows {found[-1]!r} without a colon", f"write {found[-1]}:{piece}"
            )
        else:
            raise UserError(f"option {piece!r} has no indexer before it", f"write hisa:{piece}")
    return found


def describe(name: str) -> Description:
    """What an indexer is and takes.

    Args:
        name: Registered name.

    Raises:
        UserError: as `get`.
    """
    cls = get(name)
    doc = inspect.getdoc(cls) or ""
    model = getattr(cls, "Options", None)
    claims = _outside().get(name, [])
    return Description(
        name=name,
        summary=doc.partition("\n")[0],
        doc=doc,
        options=tuple(option_rows(model)) if model is not None else (),
        origin=_origin(claims[0]) if claims else "built in",
    )


def _outside() -> dict[str, list[EntryPoint]]:
    """Entry points of the group by name, without this project's own and without repeats of one."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        if BUILTIN.get(point.name) == point.value.replace(" ", ""):
            continue
        points = found.setdefault(point.name, [])
        if all((point.value, _origin(point)) != (other.value, _origin(other)) for other in points):
            points.append(point)
    return found


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unnamed distribution"


def _load(name: str, point: EntryPoint) -> Callable[..., Indexer]:
    fix = f"reinstall or uninstall {_origin(point)}"
    try:
        cls = point.load()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"indexer {name!r} of {_origin(point)} cannot be loaded: {reason}", fix) from error
    if not inspect.isclass(cls):
        raise UserError(f"indexer {name!r} of {_origin(point)} is not a class: {point.value}", fix)
    missing = _missing(cls)
    if missing:
        raise UserError(
            f"indexer {name!r} of {_origin(point)} is no indexer: {cls.__name__} lacks {', '.join(missing)}",
            fix,
        )
    model = getattr(cls, "Options", None)
    if model is not None and not (inspect.isclass(model) and issubclass(model, BaseModel)):
        raise UserError(
            f"indexer {name!r} of {_origin(point)}: {cls.__name__}.Options is not a pydantic model", fix
        )
    return cast("Callable[..., Indexer]", cls)


def _missing(cls: type) -> list[str]:
    annotated: Iterable[str] = (name for base in cls.__mro__ for name in getattr(base, "__annotations__", {}))
    known = set(annotated)
    return [member for member in _MEMBERS if not hasattr(cls, member) and member not in known]


def _make(name: str, cls: Callable[..., Indexer], given: Mapping[str, Any]) -> Indexer:
    """An instance with text options; a class without an `Options` model takes none."""
    model = getattr(cls, "Options", None)
    if model is None:
        if given:
            raise UserError(f"{name}: unknown option {next(iter(given))!r}", f"{name} takes no options")
        values: dict[str, Any] = {}
    else:
        options = build_options(name, model, given)
        values = {option: getattr(options, option) for option in given}
    try:
        return cls(**values)
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"indexer {name!r} cannot be made: {reason}", f"see hisa-eval describe {name}"
        ) from error
