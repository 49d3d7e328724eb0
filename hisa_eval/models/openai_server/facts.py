"""What a server says of itself: which model, which version, how long a context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from hisa_eval.errors import UserError
from hisa_eval.models.openai_server.client import Client, RequestError

VERSION_ROUTES = ("/version", "/server_info", "/get_server_info")
"""vLLM's, SGLang's new and old; beside `/v1`."""


def is_address(model: str) -> bool:
    """Whether a model is named by a server's address."""
    return model.startswith(("http://", "https://"))


def split_address(model: str) -> tuple[str, str | None]:
    """Address of the routes, and the served model's name where one is given behind `#`.

    Raises:
        UserError: no host.
    """
    address, _, name = model.partition("#")
    if not urlsplit(address).hostname:
        raise UserError(f"--model {model} has no host", "write http://HOST:PORT/v1#MODEL")
    address = address.rstrip("/")
    return address if address.endswith("/v1") else address + "/v1", name or None


def describe(model: str) -> Mapping[str, Any]:
    """Facts of a served model.

    Args:
        model: Address, `#` and the model's name where several are served.

    Raises:
        UserError: nobody answers, or the model is not served.
    """
    address, wanted = split_address(model)
    client = Client(address)
    served: dict[str, Any] = {}
    try:
        listed = client.get("/models")
        served = {str(one["id"]): one for one in listed["data"]}
    except RequestError as error:
        if wanted is None or "no connection" in str(error):
            raise UserError(
                f"no OpenAI-compatible server lists its models at {address}/models: {error}",
                "start it, mend the address, or add #MODEL to it",
            ) from error
    except (KeyError, TypeError) as error:
        raise UserError(f"{address}/models is not a list of models", "name the address of /v1") from error
    if wanted is None and len(served) != 1:
        raise UserError(
            f"{address} serves {len(served)} models", f"add #NAME to the address: {', '.join(served)}"
        )
    name = wanted or next(iter(served))
    if name not in served and served:
        raise UserError(f"{address} does not serve {name!r}", f"it serves: {', '.join(served)}")
    version = _version(client)
    return {
        "name": name,
        "description": f"{name}, served by an OpenAI-compatible server; its indexer is a claim.",
        "architecture": "openai-compatible server",
        "checkpoint": f"served:{name}",
        "context": served.get(name, {}).get("max_model_len"),
        "served": {key: value for key, value in served.get(name, {}).items() if key in _STABLE},
        "server_version": version,
    }


_STABLE = ("id", "root", "parent", "owned_by", "max_model_len")
"""Fields of `/v1/models` that do not change from one start to the next."""


def _version(client: Client) -> str | None:
    root = client.base.removesuffix("/v1")
    for route in VERSION_ROUTES:
        try:
            found = client.get(root + route)
        except RequestError:
            continue
        if isinstance(found, dict) and found.get("version"):
            return f"{found['version']}"
    return None
