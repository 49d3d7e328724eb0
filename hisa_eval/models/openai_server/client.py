"""One request to an OpenAI-compatible server, tried a bounded number of times."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

ATTEMPTS = 6
FIRST_WAIT = 1.0
"""Seconds before the second attempt; each wait is twice the one before."""

LONGEST_WAIT = 30.0
TIMEOUT = 900.0
"""Seconds that one answer may take."""

_TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class RequestError(Exception):
    """What became of a request that has no usable answer.

    Args:
        reason: One line.
        status: HTTP status of a refusal that another attempt would not change, None for everything else.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass
class _Trouble:
    """Why an attempt failed, and how long the server asks to be left alone."""

    reason: str
    wait: float | None = None


class Client:
    """Sends JSON to a server.

    While the server does not answer at all, a request that follows one that gave up is tried once only: a
    server that is gone costs its waits once and not for every sample.

    Args:
        base: Address up to and with `/v1`.
        first_wait: Seconds before the second attempt.
    """

    def __init__(self, base: str, *, first_wait: float = FIRST_WAIT) -> None:
        self.base = base.rstrip("/")
        self._first_wait = first_wait
        self._gone = False
        self._stopped = threading.Event()
        proxies: dict[str, str] | None = {} if _is_loopback(self.base) else None
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler(proxies)).open

    def get(self, route: str, *, timeout: float = 10.0) -> Any:
        """JSON of `route`, tried once.

        Raises:
            RequestError: there is none.
        """
        found = self._attempt(urllib.request.Request(self._url(route), headers=_headers()), timeout)
        if isinstance(found, _Trouble):
            raise RequestError(found.reason)
        return found

    def post(self, route: str, body: dict[str, Any], check: Any = None) -> tuple[Any, int]:
        """JSON answer to `body`, and how many attempts it took.

        Args:
            route: As `/completions`.
            body: JSON types.
            check: Called with the answer; what it raises as `ValueError` makes the answer malformed.

        Raises:
            RequestError: refused, or every attempt failed.
        """
        data = json.dumps(body).encode()
        attempts = 1 if self._gone else ATTEMPTS
        wait, trouble = self._first_wait, _Trouble("no attempt was made")
        for attempt in range(1, attempts + 1):
            request = urllib.request.Request(self._url(route), data=data, headers=_headers())
            found = self._attempt(request, TIMEOUT)
            if not isinstance(found, _Trouble):
                self._gone = False
                try:
                    return (found if check is None else check(found)), attempt
                except ValueError as error:
                    found = _Trouble(f"malformed answer: {error}")
            trouble = found
            if attempt < attempts:
                self._stopped.wait(min(LONGEST_WAIT, max(wait, trouble.wait or 0.0)))
                wait *= 2
            if self._stopped.is_set():
                break
        self._gone = trouble.reason.startswith("no connection")
        raise RequestError(f"{trouble.reason} ({attempts} attempts)")

    def close(self) -> None:
        """Let no attempt follow."""
        self._stopped.set()

    def _url(self, route: str) -> str:
        return self.base + route if route.startswith("/") else route

    def _attempt(self, request: urllib.request.Request, timeout: float) -> Any:
        """JSON, or what went wrong where another attempt may help."""
        try:
            with self._open(request, timeout=timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            said = _message(error.read())
            reason = f"HTTP {error.code}: {said}"
            if error.code not in _TEMPORARY:
                raise RequestError(reason, error.code) from error
            return _Trouble(reason, _seconds(error.headers.get("Retry-After")))
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", None) or error
            return _Trouble(f"no connection: {str(cause) or type(cause).__name__}")
        try:
            return json.loads(text)
        except ValueError:
            return _Trouble(f"malformed answer: not JSON: {text[:80]!r}")


def _headers() -> dict[str, str]:
    """The key comes from the environment, and nowhere is it written."""
    key = os.environ.get("OPENAI_API_KEY")
    return {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}


def _message(body: bytes) -> str:
    """What a server says of an error, in one line."""
    try:
        found = json.loads(body)
        inner = found.get("error", found)
        text = inner.get("message") if isinstance(inner, dict) else inner
        text = text or found.get("detail") or found
    except (ValueError, AttributeError):
        text = body.decode("utf-8", errors="replace")
    return " ".join(str(text).split())[:300] or "no reason given"


def _seconds(retry_after: str | None) -> float | None:
    try:
        return None if retry_after is None else float(retry_after)
    except ValueError:
        return None


def _is_loopback(address: str) -> bool:
    host = urllib.parse.urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
