"""Finds the servers of models that are served, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from burnish.backends.served.place import GivenServer
from burnish.backends.served.started import installed_in
from burnish.config import Execution, ModelConfig, ServeConfig
from burnish.errors import BackendError, ConfigError
from burnish.inputs.found import FoundModel, Serving
from burnish.services.elsewhere import sent_words
from burnish.store.identity import UNRESOLVED
from burnish.types import Head


@dataclass(frozen=True, slots=True)
class _Same:
    """What two fields have in common if they name the same model: then both have the same stages."""

    weights: str
    settings: str


def with_servers(found: Mapping[str, FoundModel], execution: Execution, offline_ok: bool) -> dict[str, FoundModel]:
    """Return the models with their servers. Fields with the same model share a server.

    With `offline_ok` (a dry run), a server that does not answer is no error. Raises ConfigError, which names the field,
    if a model cannot be served or two fields say different things about the same model, and BackendError if a server
    does not answer.
    """
    chosen: dict[_Same, tuple[str, ServeConfig | None, Serving | None]] = {}
    served: dict[str, FoundModel] = {}
    for field, one in found.items():
        _check(field, one, execution)
        same = _Same(one.weights.fingerprint, f"{one.head} {_apart(one.model)}")
        if same not in chosen:
            chosen[same] = field, one.model.serve, _serving(field, one.model.serve, offline_ok)
        other, serve, serving = chosen[same]
        if serve != one.model.serve:
            raise ConfigError(
                f"{field}.serve: {other} and {field} name the same model with the same settings, whose answers are "
                "computed once for both; give both the same serve"
            )
        served[field] = replace(one, serving=serving)
    return served


def _apart(model: ModelConfig) -> str:
    """Return the settings of a model that identify it beside its weights."""
    return model.model_copy(update={"source": "", "revision": None, "serve": None}).model_dump_json()


def _check(field: str, found: FoundModel, execution: Execution) -> None:
    serve = found.model.serve
    if serve is None:
        return
    if found.head is not Head.NONE:
        raise ConfigError(f"{field}.serve: a model with a head ({found.head}) cannot be served; leave serve out")
    if found.trained:
        raise ConfigError(
            f"{field}.serve: {found.model.source!r} is a model that burnish trained, which is not served by itself; "
            "name a base model, or leave serve out"
        )
    if serve.environment is not None and not execution.alone:
        raise ConfigError(
            f"{field}.serve.environment: found with execution.workers: {execution.workers} and execution.executor: "
            f"{execution.executor.kind}, and each worker would start a server of its own; start one server for all of "
            "them and give its base_url, or let one process do everything (workers: 1, executor: local)"
        )


def _serving(field: str, serve: ServeConfig | None, offline_ok: bool) -> Serving | None:
    where = f"{field}.serve"
    if serve is None:
        return None
    if serve.environment is not None:
        return Serving(field=where, version=installed_in(serve.environment, f"{where}.environment").version)
    place = GivenServer(serve, where, "")
    try:
        place.look()
    except BackendError:
        if not offline_ok:
            raise
        place.version = f"{UNRESOLVED}{serve.base_url}"
    return Serving(field=where, version=place.version)


def sent_to_servers(found: Iterable[FoundModel]) -> Iterator[str]:
    """Yield a line for each server on another machine that answers in a model's place: what is sent there."""
    for one in found:
        serve = one.model.serve
        if one.serving is not None and serve is not None and serve.base_url is not None:
            what = "all prompts that the model answers, and all answers whose likelihood is asked"
            line = sent_words(serve.base_url, one.serving.field, what)
            yield from () if line is None else (line,)
