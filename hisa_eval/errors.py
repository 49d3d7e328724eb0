"""Errors that a person can act on.

Every error that bad input can provoke is a `UserError`: one line that says what is wrong, why, and how to
mend it. The command line prints it on standard error and exits with code 2; nothing has been written.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Wrong use, said in one line.

    Args:
        what: What is wrong, with the offending value.
        fix: What to type or change instead.
    """

    exit_code = 2

    def __init__(self, what: str, fix: str) -> None:
        self.what = what
        self.fix = fix
        super().__init__(f"{what} – {fix}")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not registered, with the closest known one suggested.

    Args:
        kind: What was looked up, in the singular (`"indexer"`).
        name: What was asked for.
        known: What exists.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return UserError(f"unknown {kind} {name!r}", f"{hint}known: {', '.join(names)}")
