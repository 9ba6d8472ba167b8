"""Which models answer and score on a server. A model that is trained from a served base is served, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from burnish.config import Decoding
from burnish.errors import ConfigError
from burnish.models.card import Weights
from burnish.protocols import Generator, Scorer
from burnish.steps.engines import Engines
from burnish.types import Artifact


class Host(Generator, Scorer, Protocol):
    """A server that has a base model, and can answer and score with it and with adapters on it.

    `field` is the config field of its settings, and `identity` says which engine it is. `takes_adapters` and `scores`
    say what it can do.
    """

    field: str
    takes_adapters: bool
    scores: bool

    @property
    def identity(self) -> Mapping[str, JsonValue]:
        """What identifies the engine in the stages that it computes."""
        ...


@dataclass(frozen=True, slots=True)
class Hosted:
    """A model that a server serves. `weights` says what training added to the base."""

    host: Host
    weights: Weights

    def answering(self, decode: Decoding) -> dict[str, JsonValue]:
        """Return what identifies the engine in a stage that answers.

        Raises ConfigError, which names the field, if the server cannot answer in this way.
        """
        self._check_weights()
        if decode.beams > 1:
            raise ConfigError(
                f"decode.beams: {decode.beams} found with {self.host.field}: the beam search of servers is another "
                "algorithm than that of transformers; set decode.beams: 1, or leave serve out"
            )
        return {"engine": dict(self.host.identity)}

    def scoring(self) -> dict[str, JsonValue]:
        """Return what identifies the engine in a stage that scores. Raises ConfigError as `answering` does."""
        self._check_weights()
        if not self.host.scores:
            raise ConfigError(
                f"{self.host.field}.engine: openai found, but log-probabilities of given answers are needed, which "
                "these servers do not report; use engine: vllm, or leave serve out"
            )
        return {"engine": dict(self.host.identity)}

    def _check_weights(self) -> None:
        if self.weights is Weights.FULL:
            raise ConfigError(
                f"{self.host.field}: a model of which all weights are trained cannot be served, because a server would "
                "have to be started for each of them; train adapters (train.lora), or leave serve out"
            )
        if self.weights is Weights.ADAPTER and not self.host.takes_adapters:
            raise ConfigError(
                f"{self.host.field}.engine: openai found, but a trained model must answer, and these servers take no "
                "adapters while they run; use engine: vllm, or leave serve out"
            )


@dataclass(slots=True)
class Hosts:
    """The models that are served, by their fingerprints. All other models answer and score in this process."""

    _hosted: dict[str, Hosted] = field(default_factory=dict[str, Hosted])

    def add(self, base: Artifact, host: Host) -> None:
        """Record who serves a base model."""
        self._hosted[base.fingerprint] = Hosted(host, Weights.BASE)

    def inherit(self, trained: Artifact, start: Artifact, lora: bool | None = None) -> None:
        """Record that a model was trained from another one.

        `lora` says whether an adapter or all weights were trained. None means that what `start` has was trained
        further: its adapter if it has one, and else all its weights.
        """
        if (hosted := self.of(start)) is not None:
            further = Weights.ADAPTER if hosted.weights is Weights.ADAPTER else Weights.FULL
            fresh = Weights.ADAPTER if lora else Weights.FULL
            self._hosted[trained.fingerprint] = Hosted(hosted.host, further if lora is None else fresh)

    def of(self, model: Artifact) -> Hosted | None:
        """Return who serves a model, or None if it answers and scores in this process."""
        # A checkpoint has the fingerprint of its training, a slash and the name of its folder.
        return self._hosted.get(model.fingerprint.partition("/")[0])

    def answering(self, model: Artifact, decode: Decoding) -> dict[str, JsonValue]:
        """Return what a stage in which this model answers adds to its settings: the engine, if it is a server.

        Raises ConfigError, which names the field, if the server cannot answer in this way.
        """
        hosted = self.of(model)
        return {} if hosted is None else hosted.answering(decode)

    def scoring(self, model: Artifact) -> dict[str, JsonValue]:
        """Return what a stage in which this model scores adds to its settings. Raises as `answering` does."""
        hosted = self.of(model)
        return {} if hosted is None else hosted.scoring()

    def generator(self, model: Artifact, engines: Engines) -> Generator:
        """Return what lets a model answer: its server, or else the usual generator."""
        hosted = self.of(model)
        return engines.generator() if hosted is None else hosted.host

    def scorer(self, model: Artifact, engines: Engines) -> Scorer:
        """Return what computes log-probabilities under a model: its server, or else the usual scorer."""
        hosted = self.of(model)
        return engines.scorer() if hosted is None else hosted.host
