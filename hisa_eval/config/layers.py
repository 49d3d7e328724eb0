"""Where each value of a run came from: the command line wins over a file, a file over the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hisa_eval.config.defaults import LONGBENCH, NIAH, RULER
from hisa_eval.errors import UserError, unknown_name


@dataclass(frozen=True)
class Layered:
    """Merged raw values.

    Attributes:
        values: Field name -> value, not validated yet.
        sources: Field name -> `"flag"`, `"file NAME"` or `"default"`.
        engine: The command of a serving engine that the file names.
    """

    values: dict[str, Any]
    sources: dict[str, str]
    engine: str | None = None


SECTIONS: Mapping[str, Mapping[str, Any]] = {"niah": NIAH, "ruler": RULER, "longbench": LONGBENCH}
"""A file may hold settings of one suite under its name; they win over those that all suites share."""

ENGINE = "engine"
"""A file may name the command that serves its model; it is shown and never run."""


def read_config(path: Path, known: Mapping[str, Any] = NIAH) -> dict[str, Any]:
    """The settings of a YAML file; dashes and underscores in names are the same.

    Args:
        path: Of the file.
        known: Fields of the command.

    Raises:
        UserError: no such file, not YAML, not a mapping, or an unknown name.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"--config {path} does not exist", "name a YAML file; configs/ holds examples"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"--config {path} is not UTF-8 ({error.reason})", "save it as UTF-8") from None
    except OSError as error:
        raise UserError(
            f"--config {path} cannot be read ({error.strerror})", "name a readable YAML file"
        ) from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" at line {line + 1}"
        raise UserError(f"--config {path} is not valid YAML{where}", "write lines of `name: value`") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UserError(f"--config {path} is not a mapping", "write lines of `name: value`")
    own: dict[str, Any] = {}
    for section, fields in SECTIONS.items():
        inner = loaded.pop(section, None)
        if inner is not None and not isinstance(inner, dict):
            raise UserError(f"--config {path}: {section} is not a mapping", "write its settings below it")
        if fields is known:
            own = inner or {}
    values: dict[str, Any] = {}
    shared = {key: value for key, value in loaded.items() if key != ENGINE}
    for key, value in (*shared.items(), *own.items()):
        name = str(key).replace("-", "_")
        if name not in known:
            wrong = unknown_name("setting", str(key), known)
            raise UserError(f"--config {path}: {wrong.what}", wrong.fix)
        values[name] = value
    return values


def read_engine(path: Path) -> str | None:
    """The engine command of a file that `read_config` takes or refuses."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    found = loaded.get(ENGINE) if isinstance(loaded, dict) else None
    return None if found is None else " ".join(str(found).split())


def layer(flags: Mapping[str, Any], config: Path | None, defaults: Mapping[str, Any] = NIAH) -> Layered:
    """Merge command line, file and defaults.

    Args:
        flags: Field name -> value given on the command line; None where it was not given.
        config: The `--config` file, if any.
        defaults: Field name -> default, of the command.

    Returns:
        Every field with its value and source.
    """
    values = dict(defaults)
    sources = dict.fromkeys(defaults, "default")
    engine = None
    if config is not None:
        engine = read_engine(config)
        from_file = read_config(config, defaults)
        values.update(from_file)
        sources.update(dict.fromkeys(from_file, f"file {config}"))
    given = {name: value for name, value in flags.items() if value is not None}
    values.update(given)
    sources.update(dict.fromkeys(given, "flag"))
    return Layered(values, sources, engine)
