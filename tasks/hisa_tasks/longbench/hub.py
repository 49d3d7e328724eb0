"""LongBench's data files on the Hugging Face hub, at pinned revisions; files only, no code is run.

They come by huggingface_hub, the client that `datasets` downloads with, and are read by `rows.parse_rows`.
The JSON reader of `datasets` is passed by: it takes a field whose values all look like dates for dates,
although the schema given to it says text, and writes "2020-01-01" back as "2020-01-01 00:00:00" (5.2.0; a
test shows it). The real rows at hand came out equal either way, but a prompt must not depend on neighbours.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HubFile:
    """A file of a data set repository.

    Attributes:
        repo: On the hub.
        revision: Commit.
        file: Path in it.
        sha256: Of the file.
    """

    repo: str
    revision: str
    file: str
    sha256: str

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"https://huggingface.co/datasets/{self.repo}/resolve/{self.revision}/{self.file}"


LONGBENCH = HubFile(
    "zai-org/LongBench",
    "5e628be450b7e67fb7ae6e201bd6d8f7056f7672",
    "data.zip",
    "cb45b11a4133c6bc1d6a44b0f8e701335ff1e543195db1103472e575857f7f64",
)
LONGBENCH_V2 = HubFile(
    "zai-org/LongBench-v2",
    "2b48e494f2c7a2f0af81aae178e05c7e1dde0fe9",
    "data.json",
    "15d61c22d92c96900b3c4948b6aeea218d3214b676a65df48e7b8555604c7fe2",
)
"""Both hashes as several public projects recorded them for these revisions; every download is checked."""


def fetch(source: HubFile) -> Path:
    """The local copy of a file: from the hub's cache, else downloaded unless `HF_HUB_OFFLINE` forbids it.

    Args:
        source: What to fetch.

    Returns:
        A path inside the cache.

    Raises:
        ValueError: The file is neither there nor reachable, or is not the one that was pinned.
    """
    how = f"download {source.url} and name its place with --data"
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ValueError(
            f"{source.repo} needs huggingface_hub – pip install huggingface_hub, or {how}"
        ) from None

    def get(*, local: bool) -> Path:
        return Path(
            hf_hub_download(
                source.repo,
                source.file,
                repo_type="dataset",
                revision=source.revision,
                local_files_only=local,
            )
        )

    offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() not in ("", "0", "FALSE", "NO", "OFF")
    try:
        path = get(local=True)
    except Exception:
        if offline:
            raise ValueError(
                f"{source.file} of {source.repo} is not in the hub's cache and HF_HUB_OFFLINE is set – {how}"
            ) from None
        talk = logging.getLogger("huggingface_hub")
        level = talk.level
        talk.setLevel(logging.ERROR)
        try:
            path = get(local=False)
        except Exception as error:
            raise ValueError(
                f"cannot download {source.file} of {source.repo} ({_reason(error)}) – {how}"
            ) from None
        finally:
            talk.setLevel(level)
    found = sha256_of(path)
    if found != source.sha256:
        raise ValueError(
            f"{path} is not {source.file} of {source.repo} at {source.revision[:8]} (sha256 {found[:12]}, "
            f"not {source.sha256[:12]}) – delete it, or {how}"
        )
    return path


def _reason(error: BaseException) -> str:
    """The first line of the error that the others came from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().split("\n")[0] or type(error).__name__


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
