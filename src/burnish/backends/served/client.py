"""Asks a server of completions: which models it has, answers, log-probabilities, and to load an adapter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from burnish.backends.served.replies import (
    ServerAnswer,
    UnfitReplyError,
    read_answer,
    read_logprobs,
    read_models,
    read_version,
)
from burnish.config import ServeConfig, ServingEngine
from burnish.errors import BackendError
from burnish.services.endpoint import Endpoint, Failure, ServerAddress, Why
from burnish.services.failures import Advice, after_retries, error_of

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
Pause: TypeAlias = Callable[[float], bool]
NEUTRAL = {"top_p": 1.0, "n": 1, "stream": False}
"""Fields of every request. A server's own defaults, which it may take from the model's folder, must not count."""
NEUTRAL_VLLM = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""The same for settings that only vLLM has."""
KEPT = "what is finished is kept; run the same command again"


class CompletionClient:
    """A client of one server. Any number of threads may use it.

    The server is at `base_url`, where the base model has the name `model`. `field` is the config field of the settings
    `serve`. `key`, if given, is the API key, which otherwise comes from the environment. Raises ConfigError if the API
    key is missing or the address is wrong, and AnnotatorError if the package openai is not installed.
    """

    def __init__(self, serve: ServeConfig, field: str, base_url: str, model: str, key: str | None = None) -> None:
        self.serve, self.field, self.base_url = serve, field, base_url
        self._server = ServerAddress(
            base_url=base_url,
            model=model,
            api_key_env=serve.api_key_env,
            timeout=serve.timeout,
            retries=serve.retries,
        )
        self._endpoint = Endpoint(self._server, field, key)
        self._vllm = serve.engine is ServingEngine.VLLM

    def version(self) -> str:
        """Return the version of the server. Raises BackendError if it does not tell."""
        # vLLM has this page beside /v1.
        page = f"{self.base_url.removesuffix('/v1')}/version"
        return self._asked(lambda client: client.get(page, cast_to=str), read_version)

    def models(self) -> dict[str, int | None]:
        """Return {name: the most tokens of prompt and answer, or None} of the models on the server."""
        return self._asked(lambda client: client.get("/models", cast_to=str), read_models)

    def load_adapter(self, name: str, folder: str) -> None:
        """Let the server load an adapter under a name that no other adapter ever has.

        Raises BackendError if the server does not.
        """
        body = {"lora_name": name, "lora_path": folder}

        def send(client: openai.OpenAI) -> str:
            return client.post("/load_lora_adapter", body=body, cast_to=str)

        outcome = self._endpoint.ask(send, lambda text: text, _pause)
        # The name tells the content, so an adapter that is there already is the right one.
        if isinstance(outcome, Failure) and "already been loaded" not in outcome.text:
            raise BackendError(
                f"{self.field}: {self.base_url} does not load the adapter {folder!r} ({outcome.text}); start vLLM with "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora --max-lora-rank RANK, on a machine that sees "
                f"this folder; {KEPT}"
            )

    def answer(
        self, model: str, prompt: Sequence[int], options: Mapping[str, Any], pause: Pause
    ) -> ServerAnswer | Failure:
        """Return the answer to a prompt of token ids. `options` are more fields of the request.

        `pause` waits some seconds before a retry and says whether to stop.
        """
        body = self._body(model, prompt) | dict(options)
        return self._once(body, lambda text: read_answer(text, model, prompt), pause)

    def score(self, model: str, row: Sequence[int], start: int, pause: Pause) -> float | Failure:
        """Return the sum of the log-probabilities in nats of a row's tokens from `start` on. `pause` as in `answer`."""
        # A server must write at least one token. It is not used.
        body = self._body(model, row) | {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
        return self._once(body, lambda text: read_logprobs(text, model, row, start), pause)

    def _body(self, model: str, prompt: Sequence[int]) -> dict[str, Any]:
        return {"model": model, "prompt": list(prompt), **NEUTRAL, **(NEUTRAL_VLLM if self._vllm else {})}

    def _once(self, body: Mapping[str, Any], read: Callable[[str], T], pause: Pause) -> T | Failure:
        def send(client: openai.OpenAI) -> str:
            return client.post("/completions", body=body, cast_to=str)

        return self._endpoint.ask(send, lambda text: self._read(text, read), pause)

    def _asked(self, send: Callable[[openai.OpenAI], str], read: Callable[[str], T]) -> T:
        outcome = self._endpoint.ask(send, lambda text: self._read(text, read), _pause)
        if isinstance(outcome, Failure):
            raise self.error(outcome)
        return outcome

    def _read(self, text: str, read: Callable[[str], T]) -> T | Failure:
        try:
            return read(text)
        except UnfitReplyError as error:
            # Not unreadable, which is not asked again: the page of a gateway or an aborted answer may be another one
            # next time.
            return Failure(why=Why.UNANSWERED, text=self._endpoint.shown(str(error)))

    def error(self, failure: Failure, where: str = "") -> BackendError:
        """Return the error for a request without an answer. `where` names the row."""
        address, words = self.base_url, failure.text
        advice = Advice(
            refused=f"{self.field}: {address} refuses {where or 'a request'} ({words}); check how it was started",
            filtered=f"{self.field}: {address} refuses {where or 'a request'} for its content ({words}); use a server "
            "without a filter",
            too_long=f"{self.field}: {where or 'a request'} does not fit into the model at {address} ({words}); start "
            "it with a larger --max-model-len, or lower decode.max_new_tokens (--max-new-tokens)",
            kept=KEPT,
            unanswered=f"{self.field}.base_url: {address} does not answer as asked ({words})"
            f"{after_retries(self.serve.retries)}; check the server or correct the address",
        )
        return BackendError(str(error_of(self._server, self.field, failure, advice)))


def _pause(seconds: float) -> bool:
    """Wait before a retry. It never says to stop: the threads of a crew are daemons."""
    threading.Event().wait(seconds)
    return False
