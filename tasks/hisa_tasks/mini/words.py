"""Names of the suite, out of its own syllables: no model of this project was trained on them."""

from __future__ import annotations

from hisa_tasks.draws import Draws

_ONSETS = ("J", "Qu", "Z", "Y", "X", "V", "Kr", "Gl", "Sv", "Fl", "Pr", "Dw")
_VOWELS = ("a", "e", "i", "o", "u", "y", "oa", "ei")
_MIDDLES = ("b", "lz", "x", "rv", "mm", "zz", "lk", "vr", "ndr", "ph")
_ENDS = ("ax", "ell", "ig", "on", "umb", "yx", "oth", "ew", "und", "erz")


class Names:
    """Names that differ and of which none is part of another.

    Args:
        draws: Where the randomness comes from.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._taken: list[str] = []

    def new(self) -> str:
        """A capitalised name such as "Quelzax" that was not given before."""
        draw = self._draws.choice
        while True:
            name = draw(_ONSETS) + draw(_VOWELS) + draw(_MIDDLES) + draw(_ENDS)
            if not any(name in other or other in name for other in self._taken):
                self._taken.append(name)
                return name

    def identifier(self) -> str:
        """Two new names as an identifier of source code, such as "quelzax_vibon"."""
        return f"{self.new()}_{self.new()}".lower()
