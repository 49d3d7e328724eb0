"""Derived files are replaced whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hisa_eval.errors import UserError

PAGE = "report.html"
"""The page of every folder of results."""


def write_file(path: Path, content: bytes | str) -> Path:
    """Write `content` beside `path` and move it there in one step; folders are made.

    Text is UTF-8; a lone surrogate (half a character, as a model may produce) becomes `?`.

    Raises:
        UserError: the folder cannot be written.
    """
    data = content.encode("utf-8", errors="replace") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".report-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(
            f"cannot write {path} ({why})", "mend its permissions, or copy the run elsewhere"
        ) from error
    return path
