"""Where a server is: at an address that the user gives, or started by burnish."""

from __future__ import annotations

import functools
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from burnish.backends.served.adapters import AdapterShape
from burnish.backends.served.client import CompletionClient
from burnish.backends.served.started import NAME, StartedServer
from burnish.config import ModelConfig, ServeConfig, ServingEngine, expanded
from burnish.errors import BackendError, ConfigError
from burnish.models import location
from burnish.models.adapter import adapter_of, stands_alone


class ServingPlace(Protocol):
    """A server, wherever it is. `version` is the one that stages record, and `base_name` is the base model's name."""

    field: str
    version: str
    base_name: str

    def client(self, adapter: AdapterShape | None = None) -> CompletionClient:
        """Return a client of the server, which is started if it must be. It then takes adapters of this shape.

        Raises BackendError if the server does not answer, or has another version than when the run was planned.
        """
        ...

    def limit(self, positions: int) -> int:
        """Return the most tokens of a prompt and its answer, after `client` was called.

        `positions` is the model's own limit.
        """
        ...

    @property
    def ended(self) -> bool:
        """Whether a server that burnish started has ended by itself."""
        ...

    def check(self) -> None:
        """Raise BackendError if a server that burnish started has ended."""
        ...

    def stop(self) -> None:
        """Stop a server that burnish started."""
        ...


class GivenServer:
    """A server that the user started. `version` is the one that the stages record."""

    def __init__(self, serve: ServeConfig, field: str, version: str) -> None:
        assert serve.base_url is not None, serve
        assert serve.model is not None, serve
        self.field, self.version, self.base_name = field, version, serve.model
        self._client = CompletionClient(serve, field, serve.base_url, serve.model)
        self._most_tokens = 0

    def look(self) -> None:
        """Ask the server for its version and for its models.

        Raises BackendError if it does not answer, and ConfigError if it does not have the model.
        """
        self._most_tokens = most_tokens(self._client, self.base_name, self.field)
        if self._client.serve.engine is ServingEngine.VLLM:
            self.version = self._client.version()

    def client(self, adapter: AdapterShape | None = None) -> CompletionClient:
        """Return the client. The user chose which adapters the server takes."""
        _check_version(self._client, self.version, self.field)
        self._most_tokens = most_tokens(self._client, self.base_name, self.field)
        return self._client

    def limit(self, positions: int) -> int:
        """Return the most tokens of a prompt and its answer."""
        return min(positions, self._most_tokens)

    @property
    def ended(self) -> bool:
        """Return False: what became of the user's server is not known."""
        return False

    def check(self) -> None:
        """Do nothing, for the same reason."""

    def stop(self) -> None:
        """Do nothing."""


class OwnServer:
    """A server that burnish starts when it is first needed. `version` is the one that the stages record."""

    def __init__(self, model: ModelConfig, field: str, version: str) -> None:
        assert model.serve is not None, model
        assert model.serve.environment is not None, model
        self.model, self.serve, self.field, self.base_name = model, model.serve, field, NAME
        self._adapters: AdapterShape | None = None
        self.version = version
        self._running: tuple[StartedServer, CompletionClient] | None = None
        self._most_tokens = 0

    def client(self, adapter: AdapterShape | None = None) -> CompletionClient:
        """Return a client of the server, which is started if it does not run, or does not take such an adapter."""
        self._adapters = self._adapters if adapter is None else adapter.also(self._adapters)
        if self._running is not None and (self.ended or self._running[0].adapters != self._adapters):
            self.stop()
        if self._running is None:
            self._start()
        assert self._running is not None, self.field
        return self._running[1]

    def limit(self, positions: int) -> int:
        """Return the most tokens of a prompt and its answer."""
        return min(positions, self._most_tokens)

    @property
    def ended(self) -> bool:
        """Whether the server has ended by itself."""
        return self._running is not None and self._running[0].ended

    def check(self) -> None:
        """Raise BackendError with the last words of the server if it has ended."""
        if self._running is not None:
            self._running[0].check()

    def stop(self) -> None:
        """Stop the server, if it runs."""
        if self._running is not None:
            self._running[0].stop()
            self._running = None

    def _start(self) -> None:
        started = StartedServer(self.serve, self.field, self._source, str(self.model.dtype), self._adapters)
        # Also when Python ends, and when nobody needs this object any more.
        weakref.finalize(self, started.stop)
        client = CompletionClient(self.serve, self.field, started.start(), NAME, started.key)
        self._running = started, client
        try:
            _check_version(client, self.version, self.field)
            self._most_tokens = most_tokens(client, NAME, self.field)
        except BaseException:
            self.stop()
            raise

    @functools.cached_property
    def _source(self) -> Sequence[str]:
        """The words that name the base model to vLLM. What only burnish can load is saved for it first."""
        if stands_alone(self.model) and adapter_of(self.model) is None:
            path = location.find(self.model, self.field)
            if path is not None:
                return (str(path.resolve()),)
            revision = () if self.model.revision is None else ("--revision", self.model.revision)
            return (expanded(self.model.source, self.field), *revision)
        from burnish.backends.export import save_base  # noqa: PLC0415 it imports torch

        self._saved = tempfile.TemporaryDirectory(prefix="burnish-served-")
        save_base(self.model, Path(self._saved.name))
        return (self._saved.name,)


def _check_version(client: CompletionClient, planned: str, field: str) -> None:
    if client.serve.engine is ServingEngine.VLLM and (found := client.version()) != planned:
        raise BackendError(
            f"{field}: vLLM {found} answers at {client.base_url}, but the run was planned with {planned}, which is a "
            "part of the identity of its stages; run the same command again to plan it with the new version"
        )


def most_tokens(client: CompletionClient, model: str, field: str) -> int:
    """Return the most tokens that a server takes. Raises ConfigError if it does not have the model."""
    there = client.models()
    if model not in there:
        raise ConfigError(
            f"{field}.model: {client.base_url} does not have {model!r}; it has {', '.join(map(repr, list(there)[:8]))}"
        )
    return there[model] or 2**31
