"""A checkpoint named by path or by its name on the hub, checked without its weights. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hisa_eval.errors import UserError
from hisa_eval.models.transformers_dsa.architectures import architecture_of, quantisation

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SETTINGS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_HASHED_WHOLE = 8 << 30
"""Bytes of weights up to which every one is hashed."""


def is_reference(name: str) -> bool:
    """Whether `name` is written as a path or as a name on the hub."""
    return "/" in name or name.startswith((".", "~")) or Path(name).is_dir()


def find(name: str, *, weights: bool = False) -> Path:
    """The folder of a checkpoint; files that are not here are fetched from the hub.

    Args:
        name: A folder, or `owner/name` on the hub.
        weights: Everything, not only settings and tokenizer.

    Raises:
        UserError: it is not there, or the hub does not give it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"--model {name} holds no config.json", "name the folder of a checkpoint")
        return folder
    if not HUB_NAME.fullmatch(name) or name.startswith("."):
        raise UserError(f"--model {name} is no folder", "name a folder, or OWNER/NAME on the hub")
    return _from_hub(name, weights=weights)


def _from_hub(name: str, *, weights: bool) -> Path:
    from huggingface_hub import errors, snapshot_download

    wanted = None if weights else list(_SETTINGS)
    by_hand = f"or name a folder that holds it: hf download {name} --local-dir FOLDER"
    try:
        folder = Path(snapshot_download(name, allow_patterns=wanted))
    except errors.GatedRepoError as error:
        raise UserError(
            f"--model {name} is gated on the hub", f"accept its terms there and run hf auth login, {by_hand}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"--model {name} is neither a folder nor a public model on the hub",
            f"check the name; for a private one run hf auth login, {by_hand}",
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise UserError(
            f"--model {name} is not in the local cache and the hub cannot be reached",
            f"go online or unset HF_HUB_OFFLINE, {by_hand}",
        ) from error
    except (errors.HfHubHTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"the hub does not give {name}: {reason}", f"try again, {by_hand}") from error
    if not (folder / "config.json").is_file():
        raise UserError(f"--model {name} has no config.json on the hub or in the cache", by_hand)
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """A checkpoint's `config.json`.

    Raises:
        UserError: it is not JSON.
    """
    file = folder / "config.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error})", "fetch the checkpoint again") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} is no mapping", "fetch the checkpoint again")
    return found


def describe_architecture(folder: Path, name: str) -> str:
    """Name of a checkpoint's architecture.

    Raises:
        UserError: as `architecture_of`.
    """
    return architecture_of(read_config(folder), name).name


def check_tokenizer(folder: Path, name: str) -> Path:
    """The folder, when it has a tokenizer.

    Raises:
        UserError: there is none.
    """
    if not (folder / "tokenizer.json").is_file():
        raise UserError(
            f"{name} has no tokenizer.json",
            "put the model's own beside its config.json (AutoTokenizer(...).save_pretrained writes it)",
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """Files of weights, in order."""
    return sorted(folder.glob("*.safetensors"))


def checkpoint_hash(folder: Path) -> str:
    """SHA-256 over a checkpoint's configuration, tokenizer and weights.

    Of weights beyond 8 GiB only names, sizes and the first MiB of every file count, which holds the table of
    its tensors: the hash then begins with `sampled-`.
    """
    digest = hashlib.sha256()
    whole = sum(file.stat().st_size for file in weight_files(folder)) <= _HASHED_WHOLE
    for file in sorted(folder.iterdir()):
        if file.name in ("config.json", "tokenizer.json") or file.suffix == ".safetensors":
            digest.update(file.name.encode() + b"\0" + _file_digest(file, whole))
    return digest.hexdigest() if whole else "sampled-" + digest.hexdigest()


def _file_digest(file: Path, whole: bool) -> bytes:
    if whole:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    with file.open("rb") as stream:
        start = stream.read(1 << 20)
    return hashlib.sha256(start + str(file.stat().st_size).encode()).digest()


def describe(name: str, folder: Path, *, description: str, label: str | None = None) -> Mapping[str, Any]:
    """Facts of a checkpoint that need no weights in memory.

    Args:
        name: As the user wrote it.
        folder: Where it is.
        description: One sentence on what it is.
        label: Its name in tables, `name` by default.

    Raises:
        UserError: it does not run here, or its files cannot be read.
    """
    config = read_config(folder)
    architecture = architecture_of(config, name)
    facts = {
        "name": label or name,
        "description": description,
        "architecture": architecture.name,
        "checkpoint": checkpoint_hash(folder),
        "topk": config.get("index_topk", 2048),
        "layers": config.get("num_hidden_layers"),
        "index_heads": config.get("index_n_heads"),
        "index_head_dim": config.get("index_head_dim"),
        "context": config.get("max_position_embeddings"),
        "weights_bytes": sum(file.stat().st_size for file in weight_files(folder)),
    }
    method = quantisation(config)
    return facts if method is None else {**facts, "quantisation": method}
