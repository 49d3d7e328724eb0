"""Where each value of a run came from: the command line wins over a file, a file over the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hisa_eval.config.defaults import NIAH
from hisa_eval.errors import UserError, unknown_name


@dataclass(frozen=True)
class Layered:
    """Merged raw values.

    Attributes:
        values: Field name -> value, not validated yet.
        sources: Field name -> `"flag"`, `"file NAME"` or `"default"`.
    """

    values: dict[str, Any]
    sources: dict[str, str]


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
    values: dict[str, Any] = {}
    for key, value in loaded.items():
        name = str(key).replace("-", "_")
        if name not in known:
            wrong = unknown_name("setting", str(key), known)
            raise UserError(f"--config {path}: {wrong.what}", wrong.fix)
        values[name] = value
    return values


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
    if config is not None:
        from_file = read_config(config, defaults)
        values.update(from_file)
        sources.update(dict.fromkeys(from_file, f"file {config}"))
    given = {name: value for name, value in flags.items() if value is not None}
    values.update(given)
    sources.update(dict.fromkeys(given, "flag"))
    return Layered(values, sources)
