"""Functions defined in source code, and a call to complete: code completion."""

from __future__ import annotations

import random

from hisa_eval.models.nano.training.exercise import Exercise, Maker, identifier

_DEFINITIONS = [
    "def {f}({p}):\n    return {b}\n",
    "    def {f}({p}):\n        pass\n",
    "\ndef {f}({p}):\n    '''{b}.'''\n",
    "async def {f}({p}):\n    {b} = None\n",
]
_CALLS = ["{v} = {f}(", "    {v} = {f}(", "return {f}(", "        {f}(", "    yield {f}(", "{v} += {f}("]


class CallMaker(Maker):
    """Definitions such as "def load_ships(port, crew):"; the call repeats the names of the parameters."""

    name = "call"
    marks = (b"\n",)
    code = True

    def __init__(self, rng: random.Random, length: int) -> None:
        super().__init__(rng, length)
        self._definition = rng.choice(_DEFINITIONS)
        self._call = rng.choice(_CALLS)
        self._kin = [identifier(rng) for _ in range(rng.randint(3, 9))] if rng.random() < 0.4 else []

    def make(self) -> Exercise:
        rng = self.rng
        function = self.fresh("identifier")
        if self._kin:
            function = f"{rng.choice(self._kin)}_{function}"
        parameters = ", ".join(identifier(rng) for _ in range(rng.randint(1, 4)))
        fields = {"f": function, "p": parameters, "b": identifier(rng), "v": identifier(rng)}
        return Exercise(
            (self._definition.format(**fields).encode(),),
            self._call.format(**fields).encode(),
            f"{parameters})".encode(),
            firsts=(0,),
            end=b"",
        )
