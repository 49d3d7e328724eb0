"""Where sentences begin in running text, in any language that ends them with marks."""

from __future__ import annotations

import re

MAX_GAP = 1000
"""Characters without a sentence end after which lines, and then words, count as sentences."""

_ABBREVIATIONS = (
    "Mr",
    "Mrs",
    "Ms",
    "Dr",
    "Prof",
    "St",
    "Sr",
    "Jr",
    "vs",
    "cf",
    "e.g",
    "i.e",
    "No",
    "Fig",
    "Vol",
)
_END = re.compile(
    r"[.!?…]+[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\sa-z\"'“‘(\[])"
    r"|\n[^\S\n]*\n\s*"
    r"|[。！？]+[”’」』）]*\s*"
)
_BEFORE = re.compile(r"(?:\b[A-Z]|\b(?:" + "|".join(re.escape(word) for word in _ABBREVIATIONS) + r"))$")
_LINE = re.compile(r"\n\s*")
_SPACE = re.compile(r"\s+")


def sentence_starts(text: str) -> list[int]:
    """Offsets at which sentences begin.

    A sentence ends with `.`, `!`, `?` or `…` (closing quotes included) before white space and anything but a
    small letter, with a full-width mark, or at an empty line. Initials ("P. Graham") and common titles do not
    end one. Where more than `MAX_GAP` characters have no end, line breaks count; where those are missing too,
    spaces; and without spaces, every `MAX_GAP` characters.

    Args:
        text: Any text.

    Returns:
        Ascending offsets; the first is 0, none is the end of the text.
    """
    starts = [0]
    for match in _END.finditer(text):
        initial = text[match.start()] == "." and _BEFORE.search(
            text, max(0, match.start() - 5), match.start()
        )
        if match.end() < len(text) and not (initial and "\n\n" not in match.group()):
            starts.append(match.end())
    for finer in (_LINE, _SPACE):
        starts = _filled(text, starts, finer)
    ends = [*starts[1:], len(text)]
    return [cut for start, end in zip(starts, ends, strict=True) for cut in range(start, end, MAX_GAP)]


def _filled(text: str, starts: list[int], finer: re.Pattern[str]) -> list[int]:
    """The starts, with those of a finer pattern where they are too far apart."""
    filled: list[int] = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        filled.append(start)
        if end - start > MAX_GAP:
            for match in finer.finditer(text, start, end):
                if match.end() < end and match.end() - filled[-1] >= MAX_GAP // 10:
                    filled.append(match.end())
    return filled
