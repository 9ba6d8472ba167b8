"""A model that was found, with its identity and with the server that answers in its place."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from burnish.backends.served.host import ServedModel
from burnish.backends.served.place import GivenServer, OwnServer
from burnish.config import ModelConfig
from burnish.models import location
from burnish.steps.basic import Steps
from burnish.types import Artifact, Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Who serves a model. `field` is the config field of the settings, and `version` that of the server."""

    field: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model with its commit and number format, the identity of its weights, and its head.

    `trained` means that it is a folder that burnish trained. Such a model is used without further training. `as_it_is`
    means that the model is not trained before it is used, whoever made it. `serving` says which server answers and
    scores in the model's place, or is None.
    """

    model: ModelConfig
    weights: Artifact
    head: Head = Head.NONE
    trained: bool = False
    as_it_is: bool = False
    serving: Serving | None = None

    def artifact(self, steps: Steps) -> Artifact:
        """Return the model as an artifact: the stage that describes a base model, or the folder of a trained one."""
        if self.trained:
            path = location.find(self.model)
            return Artifact(path=str(path), kind="trained", fingerprint=self.weights.fingerprint)
        base = steps.base(self.model, self.weights, self.head)
        if (host := self.host) is not None:
            steps.hosts.add(base, host)
        return base

    @property
    def host(self) -> ServedModel | None:
        """The server that answers and scores in the model's place, or None."""
        return None if self.serving is None else host_of(self.model, self.serving)


def host_of(model: ModelConfig, serving: Serving) -> ServedModel:
    """Return what answers and scores in a model's place: in one process always the same object for the same model.

    So a server that burnish starts goes on from one seed to the next.
    """
    return _host(model.model_dump_json(), serving.field, serving.version)


@functools.cache
def _host(described: str, field: str, version: str) -> ServedModel:
    model = ModelConfig.model_validate_json(described)
    assert model.serve is not None, model
    given = model.serve.environment is None
    return ServedModel(model, GivenServer(model.serve, field, version) if given else OwnServer(model, field, version))
