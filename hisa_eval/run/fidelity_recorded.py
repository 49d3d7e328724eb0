"""Recorded inputs as contexts of a comparison: one file, or every file of a folder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hisa_eval.config.fidelity import FidelitySettings
from hisa_eval.errors import UserError
from hisa_eval.run.fidelity_place import Place

if TYPE_CHECKING:
    from hisa_eval.fidelity.frame import Frame

PATTERN = "*.safetensors"
"""Files of a folder that are dumps."""


class _Recorded(NamedTuple):
    """A file, its hash, and its context's prompt tokens, length in tokens and depth in per cent."""

    file: Path
    sha256: str
    n_prompt_tokens: int
    length: int
    depth: float | None


@dataclass
class DumpSource:
    """Recorded inputs, a context a file.

    Length and depth are those that the file's metadata tell, as `hisa-eval fidelity --dump` writes them; else
    the length is the number of keys.

    Raises:
        UserError: no such file, a folder without any, or one that holds no indexer inputs.
    """

    settings: FidelitySettings
    device: str
    topk: int = 2048

    def __post_init__(self) -> None:
        path = Path(str(self.settings.inputs))
        self._is_folder = path.is_dir()
        files = sorted(path.glob(PATTERN)) if self._is_folder else [path]
        if not files:
            raise UserError(
                f"{path} holds no {PATTERN}", f"write some first: hisa-eval fidelity --dump {path}/"
            )
        self._task = f"fidelity/dump/{path.resolve().name if self._is_folder else path.stem}"
        # One after the other, so that no more than one is held.
        self._recorded = [self._look(file) for file in files]

    def _look(self, file: Path) -> _Recorded:
        from hisa_eval.fidelity.dump_file import read_facts

        frame = self._read(file)[0]
        facts = read_facts(file)
        length, depth = _number(facts.get("length")), _number(facts.get("depth"))
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        n_keys = len(frame.k)
        return _Recorded(file, sha256, n_keys - frame.lead_in, int(length or n_keys), depth)

    @property
    def places(self) -> list[Place]:
        """See `Source`."""
        found = [Place(self._task, one.length, one.depth, n) for n, one in enumerate(self._recorded)]
        return sorted(found, key=lambda place: place.length)

    def facts(self, place: Place) -> Mapping[str, Any]:
        """See `Source`."""
        one = self._recorded[place.sample]
        return {
            "sample_id": f"{place.task}/{one.file.stem}" if self._is_folder else place.task,
            "prompt_sha256": one.sha256,
            "n_prompt_tokens": one.n_prompt_tokens,
            "max_new_tokens": 0,
        }

    def identity(self) -> Mapping[str, Any]:
        """See `Source`."""
        if not self._is_folder:
            return {"file_sha256": self._recorded[0].sha256, "device": self.device}
        return {"files_sha256": {one.file.name: one.sha256 for one in self._recorded}, "device": self.device}

    def describe(self) -> Mapping[str, Any] | None:
        """See `Source`."""
        return None

    def open(self) -> None:
        """See `Source`."""

    def frames(self, place: Place) -> list[Frame]:
        """See `Source`."""
        return [frame.to(self.device) for frame in self._read(self._recorded[place.sample].file)]

    def _read(self, file: Path) -> list[Frame]:
        from hisa_eval.fidelity.dump_file import read_dump

        return read_dump(file, rows=self.settings.rows, seed=self.settings.seed)


def _number(text: str | None) -> float | None:
    """A number of the metadata; None where another program wrote something else there."""
    try:
        found = math.nan if text is None else float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None
