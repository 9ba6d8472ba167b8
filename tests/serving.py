"""A server that plays vLLM for tests. Its tokens are characters, and its models say what a file tells them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from burnish.backends.render import Tokens
from burnish.backends.served.host import ServedModel
from burnish.errors import DataError
from burnish.types import Message, TrainingRow

END = 0
LIMIT = 400
"""The most tokens of a prompt and its answer."""
WEIGHTS = "adapter_model.safetensors"
Rule = Callable[[str, str, Mapping[str, Any]], str]
"""(what the model's file says, the prompt, the request) -> the answer."""


def play(patch: pytest.MonkeyPatch) -> None:
    """Let served models have characters as tokens, so that no tokenizer is loaded."""

    def renderer(self: object) -> Characters:
        return Characters()

    def positions(self: object) -> int:
        return LIMIT

    patch.setattr(ServedModel, "_renderer", renderer)
    patch.setattr(ServedModel, "positions", positions)


class _Tokenizer:
    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


class Characters:
    """A renderer whose tokens are the characters of a text. The end is the token 0."""

    ends = (END,)
    tokenizer = _Tokenizer()

    def prompt(self, messages: Sequence[Message], row: str = "") -> list[int]:
        return [ord(c) for c in "\n".join(message.content for message in messages)]

    def row(self, row: TrainingRow, max_tokens: int) -> Tokens:
        prompt = self.prompt(row.prompt)
        ids = [*prompt, *map(ord, row.completion), END]
        if len(ids) > max_tokens:
            raise DataError(f"row {row.id}: too long")
        return Tokens(ids, len(prompt))

    def text(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids)).strip()


@dataclass(kw_only=True)
class FakeVllm:
    """`with FakeVllm() as server:` listens at `server.address`.

    An adapter's file of weights is read once, when its name is loaded first. Like vLLM, the server goes on with the
    first adapter of a name. `react` may answer a request for a completion in the server's place, or return None. The
    log-probability of a token is minus its number divided by 100.
    """

    rule: Rule = lambda says, prompt, body: says
    react: Callable[[Mapping[str, Any], int], tuple[int, Any] | None] = lambda body, count: None
    version: str = "9.1.0+cpu"
    base: str = "base"
    key: str | None = None
    open_pages: bool = False
    """Whether pages that are only read need no key."""
    loaded: dict[str, str] = field(default_factory=dict[str, str])
    loads: Counter[str] = field(default_factory=Counter[str])
    asked: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    def __enter__(self) -> FakeVllm:
        self._lock = threading.Lock()
        self._server = _Listener(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return `serve` settings for this server, which wait for nothing."""
        return {
            "engine": "vllm",
            "base_url": self.address,
            "model": self.base,
            "retries": 1,
            "concurrency": 4,
        } | changes

    def get(self, path: str) -> tuple[int, Any]:
        if path == "/version":
            return 200, {"version": self.version}
        names = [self.base, *self.loaded]
        return 200, {"data": [{"id": name, "max_model_len": LIMIT} for name in names]}

    def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        with self._lock:
            if path == "/v1/load_lora_adapter":
                return self._load(body["lora_name"], Path(body["lora_path"]))
            self.asked.append(body)
            count = len(self.asked)
        return self.react(body, count) or self._completion(body)

    def _load(self, name: str, folder: Path) -> tuple[int, Any]:
        self.loads[name] += 1
        if name in self.loaded:
            return 400, {"error": {"message": f"The lora adapter '{name}' has already been loaded."}}
        self.loaded[name] = (folder / WEIGHTS).read_text()
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _completion(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        known = {self.base: "from the base", **self.loaded}
        if body["model"] not in known:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        prompt: list[int] = body["prompt"]
        if "prompt_logprobs" in body:
            found = [None, *({str(token): {"logprob": -token / 100}} for token in prompt[1:])]
            return 200, self.reply(body, [65], "length", prompt_logprobs=found)
        says = self.rule(known[body["model"]], "".join(map(chr, prompt)), body)
        ids = [*map(ord, says), END][: body["max_tokens"]]
        return 200, self.reply(body, ids, "stop" if ids[-1] == END else "length")

    def reply(self, body: Mapping[str, Any], ids: Sequence[int], reason: str, **more: Any) -> dict[str, Any]:
        """Return the body of a reply with these tokens."""
        shown = list(ids) if body.get("return_token_ids") else None
        text = "".join(map(chr, ids)).rstrip("\0")
        choice = {"index": 0, "text": text, "finish_reason": reason, "token_ids": shown, **more}
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(ids)}
        return {"model": body["model"], "choices": [choice], "usage": usage}


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    owner: FakeVllm

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what the tests want."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _owner(self) -> FakeVllm:
        assert isinstance(self.server, _Listener), self.server
        return self.server.owner

    def do_GET(self) -> None:
        self._send(*self._checked(lambda: self._owner.get(self.path)))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(*self._checked(lambda: self._owner.post(self.path, body)))

    def _checked(self, answer: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        key = self._owner.key
        free = self.command == "GET" and self._owner.open_pages
        if key is not None and not free and self.headers["Authorization"] != f"Bearer {key}":
            return 401, {"error": {"message": f"wrong key, expected {key}"}}
        return answer()

    def _send(self, status: int, body: Any) -> None:
        if status == 0:  # the server goes away in the middle of a request
            self.close_connection = True
            return
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name in the library
        """Say nothing."""
