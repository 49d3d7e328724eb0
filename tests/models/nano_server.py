"""A server on loopback that answers completions with the nano model, and misbehaves when it is told to.

The model runs through the package's own path; the routes are those of an OpenAI-compatible server. A file of
faults, one word a line, is used up line by line: `429`, `malformed`, `wrong-form`, `500`, `die`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hisa_eval.indexers.registry import parse
from hisa_eval.models import registry

CONTEXT = 3000
LOCK = threading.Lock()


def next_fault(file: Path) -> str:
    """The next fault, taken out of the file."""
    lines = file.read_text().split() if file.exists() else []
    if not lines:
        return ""
    file.write_text("\n".join(lines[1:]))
    return lines[0]


def main(port: int, faults: Path, takes_ids: bool) -> None:
    """Serve until killed."""
    model: Any = registry.load("nano", topk=512)
    indexer = parse("hisa:block_size=32,num_blocks=32")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def reply(self, status: int, body: Any, **headers: str) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                entry = {"id": "nano", "object": "model", "created": os.getpid(), "max_model_len": CONTEXT}
                self.reply(200, {"object": "list", "data": [entry]})
            elif self.path == "/version":
                self.reply(200, {"version": "nano-1"})
            else:
                self.reply(404, {"error": {"message": "no such route"}})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt, room = asked["prompt"], asked["max_tokens"]
            with LOCK:
                if not takes_ids and not isinstance(prompt, str):
                    return self.reply(400, {"detail": "prompt must be a string."})
                ids = model.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
                fault = next_fault(faults) if len(ids) > 1 else ""
                if fault == "die":
                    os._exit(1)
                if fault == "429":
                    return self.reply(429, {"error": {"message": "slow down"}}, Retry_After="0.1")
                if fault == "500":
                    return self.reply(500, {"error": {"message": "broken"}})
                if fault == "malformed":
                    return self.reply(200, b'{"choices": [')
                if fault == "wrong-form":
                    return self.reply(200, {"choices": [{"text": None}]})
                if len(ids) + room > CONTEXT:
                    said = f"This model's maximum context length is {CONTEXT} tokens."
                    return self.reply(400, {"error": {"message": said}})
                answer = model._session.answer(ids, indexer, room, probe=False)
                choice = {
                    "index": 0,
                    "text": model.tokenizer.decode(answer.ids),
                    "finish_reason": answer.finish_reason,
                }
                usage = {"prompt_tokens": len(ids), "completion_tokens": len(answer.ids)}
                return self.reply(200, {"choices": [choice], "usage": usage})

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "ids")
