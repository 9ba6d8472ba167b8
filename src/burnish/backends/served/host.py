"""A model that a server lets answer and score, alone or with an adapter that was trained on it."""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue

from burnish.backends import Progress
from burnish.backends.render import check_fits
from burnish.backends.served.adapters import adapter_name, shape_of
from burnish.backends.served.client import CompletionClient, Pause
from burnish.backends.served.place import ServingPlace
from burnish.backends.served.replies import ServerAnswer
from burnish.backends.served.work import in_order
from burnish.config import Decoding, ModelConfig, ServingEngine
from burnish.errors import BackendError, DataError
from burnish.models.card import Weights, read_card
from burnish.protocols import RowKey, SamplingKey, Score, row_key
from burnish.services.endpoint import Failure, Why
from burnish.types import Artifact, Completion, PairRow, Prompt, TrainingRow

if TYPE_CHECKING:
    from burnish.backends.render import Renderer

T = TypeVar("T")


class ServedModel:
    """Answers and scores on a server. Prompts are sent as token ids, one request for each row.

    `model` is the base model with its settings resolved, and `place` finds or starts the server.
    """

    def __init__(self, model: ModelConfig, place: ServingPlace) -> None:
        assert model.serve is not None, model
        self.model, self.serve, self.place = model, model.serve, place
        self.progress: Progress = Silent()
        # As other code names the model, so that its tokenizer is read only once.
        self._alone = model.model_copy(update={"serve": None})
        self.field = place.field
        self.takes_adapters = self.scores = self.serve.engine is ServingEngine.VLLM
        self._names: dict[str, str] = {}

    @property
    def identity(self) -> Mapping[str, JsonValue]:
        """What identifies the engine in the stages that it computes: its name, version and arguments."""
        return self.serve.identity(self.place.version)

    def rest(self) -> None:
        """Stop the server, if burnish started it. It starts again when it is needed."""
        self.place.stop()

    def generate(
        self,
        model: Artifact,
        prompts: Sequence[Prompt],
        settings: Decoding,
        key: SamplingKey,
        done: AbstractSet[RowKey],
    ) -> Iterator[Sequence[Completion]]:
        """Yield the answers of each request, in the order of the prompts. They are greedy or sampled.

        Raises DataError with the row's id if a prompt and its answer do not fit into the model, and BackendError if the
        server does not answer after all retries.
        """
        renderer = self._renderer()
        desk = _StageRequests(self, model)
        ids = [array("i", renderer.prompt(prompt.messages, prompt.id)) for prompt in prompts]
        check_fits(prompts, ids, settings.max_new_tokens, desk.limit)
        # Kept here, because the threads must not read rows from the disk at the same time.
        named = [(prompt.id, prompt.sample) for prompt in prompts]
        fixed = self._options(settings, renderer)
        missing = [number for number, name in enumerate(named) if row_key(*name) not in done]
        self.progress.start("answering", len(ids), len(ids) - len(missing))

        def ask(number: int, pause: Pause) -> tuple[int, ServerAnswer]:
            id_, sample = named[number]
            options = fixed | ({"seed": seed_of(key, id_, sample)} if settings.temperature > 0 else {})
            patience = desk.patience(pause)
            return number, desk.asked(lambda: desk.client.answer(desk.name, ids[number], options, patience), id_)

        for number, answer in in_order(missing, ask, self.serve.concurrency):
            yield [_completion(renderer, *named[number], answer)]
            self.progress.advance(1)

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield log p(completion and end | prompt) in nats, summed over the tokens, in the order of the rows.

        Raises as `generate` does.
        """
        renderer, desk = self._renderer(), _StageRequests(self, model)
        # The server writes a token, too, for which there must be room.
        tokens = [(row.id, renderer.row(row, desk.limit - 1)) for row in rows]
        missing = [number for number, (id_, _) in enumerate(tokens) if id_ not in done]
        self.progress.start("scoring", len(tokens), len(tokens) - len(missing))

        def ask(number: int, pause: Pause) -> Score:
            id_, row = tokens[number]
            patience = desk.patience(pause)
            value = desk.asked(lambda: desk.client.score(desk.name, row.ids, row.prompt_length, patience), id_)
            return Score(id=id_, value=value, tokens=len(row.ids) - row.prompt_length)

        for score in in_order(missing, ask, self.serve.concurrency):
            yield [score]
            self.progress.advance(1)

    def fitting(self, model: Artifact, rows: Sequence[TrainingRow]) -> AbstractSet[str]:
        """Return the ids of the rows whose prompt, completion and end fit into the model."""
        renderer, limit = self._renderer(), _StageRequests(self, model).limit - 1
        return {row.id for row in rows if _fits(renderer, row, limit)}

    def classify(
        self, model: Artifact, rows: Sequence[PairRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Raise AssertionError: models with a head are never served."""
        raise AssertionError(model)

    def rewards(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Raise AssertionError: models with a head are never served."""
        raise AssertionError(model)

    def named(self, model: Artifact) -> str:
        """Return the name of a model on the server. An adapter is not loaded here."""
        folder = Path(model.path)
        match read_card(folder).weights:
            case Weights.BASE:
                return self.place.base_name
            case Weights.ADAPTER:
                if model.path not in self._names:
                    self._names[model.path] = adapter_name(model)
                return self._names[model.path]
            case Weights.FULL:
                raise AssertionError(f"{model}: refused when it was planned")

    def _renderer(self) -> Renderer:
        from burnish.backends.load import renderer_of  # noqa: PLC0415 it imports torch

        return renderer_of(self._alone)

    def positions(self) -> int:
        """Return the most tokens of a prompt and its answer for the model itself."""
        from burnish.backends.load import positions_of  # noqa: PLC0415

        return positions_of(self._alone)

    def _options(self, settings: Decoding, renderer: Renderer) -> dict[str, Any]:
        """Return the fields of a request that are the same for all prompts."""
        assert settings.beams == 1, settings
        options: dict[str, Any] = {"max_tokens": settings.max_new_tokens, "temperature": settings.temperature}
        if self.serve.engine is ServingEngine.OPENAI:
            return options | {"stop": [str(renderer.tokenizer.decode([end])) for end in renderer.ends]}
        # `ignore_eos`: the model's own settings may name more ends than the ones with which burnish works.
        return options | {"stop_token_ids": renderer.ends, "ignore_eos": True, "return_token_ids": True}


class Silent:
    """Progress that nobody sees."""

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Do nothing."""

    def advance(self, amount: int) -> None:
        """Do nothing."""


class _StageRequests:
    """What the requests of one stage share: the client, the name of the model, and its limit of tokens."""

    def __init__(self, host: ServedModel, model: Artifact) -> None:
        self.place, self._folder = host.place, model.path
        self.name = host.named(model)
        self.client: CompletionClient = host.place.client(shape_of(Path(model.path)) if self._is_adapter else None)
        self.limit = host.place.limit(host.positions())
        self._lock, self._loads = threading.Lock(), 0
        if self._is_adapter:
            self._load(0)

    @property
    def _is_adapter(self) -> bool:
        return self.name != self.place.base_name

    def patience(self, pause: Pause) -> Pause:
        """Return a pause between retries that says to stop if the server has ended: it would never answer."""
        return lambda seconds: pause(seconds) or self.place.ended

    def asked(self, ask: Callable[[], T | Failure], row: str) -> T:
        """Return the answer to a request about a row.

        Raises BackendError if there is none. An adapter is loaded again if a server that was restarted does not know
        it.
        """
        loads, outcome = self._loads, ask()
        if isinstance(outcome, Failure) and outcome.why is Why.DENIED and outcome.status == 404 and self._is_adapter:
            self._load(loads)
            outcome = ask()
        if isinstance(outcome, Failure):
            self.place.check()
            raise self.client.error(outcome, f"row {row}")
        return outcome

    def _load(self, loads: int) -> None:
        """Load the adapter, unless another thread did so since `loads` loads were counted."""
        with self._lock:
            if self._loads == loads:
                self.client.load_adapter(self.name, str(Path(self._folder).resolve()))
                self._loads += 1


def seed_of(key: SamplingKey, item: str, sample: int) -> int:
    """Return the seed of a request, from 0 to 2^63 - 1. It depends on nothing but the arguments."""
    # As in `backends.sampling`, which draws each step. A server draws all steps of an answer from one seed.
    text = f"{key.seed}\x1f{key.stage}\x1f{key.round}\x1f{item}\x1f{sample}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _completion(renderer: Renderer, id_: str, sample: int, written: ServerAnswer) -> Completion:
    """Return an answer without the token that ended it."""
    if written.ids is None:  # a server that does not report tokens
        text, finished = written.text.strip(), written.finished
        return Completion(id=id_, sample=sample, text=text, finished=finished, tokens=written.tokens)
    ended = bool(written.ids) and written.ids[-1] in renderer.ends
    if ended is not written.finished:
        raise BackendError(f"row {id_}: the server's tokens and its reason for the end of the answer disagree")
    text = renderer.text(written.ids[:-1] if ended else written.ids)
    return Completion(id=id_, sample=sample, text=text, finished=ended, tokens=len(written.ids))


def _fits(renderer: Renderer, row: TrainingRow, limit: int) -> bool:
    try:
        renderer.row(row, limit)
    except DataError:
        return False
    return True
