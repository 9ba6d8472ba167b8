"""What a run computes with: an object that trains, one that generates and one that scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import cast

import numpy as np

from burnish.errors import BackendError, ConfigError, brief
from burnish.protocols import Backend, Generator, RowKey, Scorer, Trainer, row_key
from burnish.store.keys import KeySet
from burnish.types import Completion

GENERATOR = ("generate",)
"""The method that a generator must have."""
BACKEND = ("train", "train_classifier", "train_preferences", *GENERATOR, "logprobs", "classify", "rewards", "export")
"""The methods that a backend must have: those of a trainer, a generator and a scorer."""
_WANTED = "it must yield lists of burnish.types.Completion"
_FIELDS = {"id": str, "sample": int, "text": str, "finished": bool, "tokens": int}
"""The fields of a completion and their types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """What trains, what generates and what scores.

    Each is a function that returns the object. It is called when a stage first needs the object, so that a run whose
    stages are all finished loads no model.
    """

    trainer: Callable[[], Trainer]
    generator: Callable[[], Generator]
    scorer: Callable[[], Scorer]

    @classmethod
    def of(cls, backend: Callable[[], Backend], generator: Generator | None = None) -> Engines:
        """Return the engines of a backend. `generator`, if given, generates in its place."""
        return cls(trainer=backend, generator=backend if generator is None else lambda: generator, scorer=backend)


def check_engine(engine: object, methods: Sequence[str], field: str, protocol: str) -> None:
    """Raise ConfigError if an object of a caller lacks one of the methods. None is allowed.

    `field` says which argument it is, and `protocol` names the protocol with these methods.
    """
    if engine is None:
        return
    # A class has the methods, too, but they cannot be called without an object.
    if isinstance(engine, type):
        raise ConfigError(f"{field}: the class {engine.__name__} found; give an object, such as {engine.__name__}(...)")
    # Checked by hand, so that the message names the missing method.
    missing = [name for name in methods if not callable(getattr(engine, name, None))]
    if missing:
        methods_of = "all methods" if len(methods) > 1 else "the method"
        raise ConfigError(
            f"{field}: {brief(engine)} has no method {missing[0]}; give an object with {methods_of} of "
            f"burnish.protocols.{protocol}"
        )


def complete(
    batches: Iterable[Sequence[Completion]],
    prompts: Iterable[RowKey],
    done: AbstractSet[RowKey],
    partly: bool = False,
) -> Iterator[Sequence[Completion]]:
    """Yield the batches of a generator, and check that they answer each prompt that is not `done`.

    `prompts` are the keys of all prompts. With `partly`, the generator answers a part of them.

    Raises BackendError if the generator yields something else than completions, answers something that was not asked,
    answers a prompt twice, or has left a prompt out at the end.
    """
    asked = KeySet(prompts)
    # A mark for each key, since the keys of a million rows would take 100 MB once more.
    answered_N = np.zeros(len(asked), dtype=np.bool_)
    for batch in _items(batches, "returned"):
        # Checked before anything is stored: a wrong answer in a finished stage would stay there.
        answers = _completions(batch)
        keys = [row_key(answer.id, answer.sample) for answer in answers]
        for key, place in zip(keys, asked.positions(keys), strict=True):
            if place < 0:
                raise BackendError(
                    f"the generator answered {key!r}, which is none of its {len(asked)} prompts; the `id` and `sample` "
                    "of a completion must be those of its prompt"
                )
            if answered_N[place]:
                raise BackendError(
                    f"the generator answered {key!r} twice; it must yield one completion for each prompt"
                )
            answered_N[place] = True
        yield answers
    if partly:
        return
    if left_out := [key for key in asked.chosen(~answered_N) if key not in done]:
        raise BackendError(
            f"the generator gave no answer to {len(left_out)} of {len(asked)} prompts, the first of them is "
            f"{left_out[0]!r}; it must yield a completion for each prompt that is not done"
        )


def _completions(batch: object) -> list[Completion]:
    """Return a batch as a list. Raises BackendError if it is no batch of completions with values of the right types."""
    answers: list[Completion] = []
    for answer in _items(batch, "yielded"):
        if not isinstance(answer, Completion):
            raise BackendError(f"the generator yielded a batch with {brief(answer)}; {_WANTED}")
        for name, kind in _FIELDS.items():
            value = getattr(answer, name)
            # By `type`: numbers of numpy cannot be stored as JSON, and true is no number of tokens.
            if type(value) is not kind:
                raise BackendError(
                    f"the generator gave {name}={brief(value)} in its answer to {brief(answer.id)}; "
                    f"give a value of the type {kind.__name__}"
                )
        try:
            answer.text.encode()
        except UnicodeEncodeError:
            raise BackendError(
                f"the generator's answer to {answer.id!r} holds half a surrogate pair, which is no character; remove it"
            ) from None
        answers.append(answer)
    return answers


def _items(given: object, how: str) -> Iterator[object]:
    """Yield what is in a list or an iterator. Raises BackendError if a generator gave something else."""
    if isinstance(given, str | bytes | Mapping | Completion) or not isinstance(given, Iterable):
        raise BackendError(f"the generator {how} {brief(cast(object, given))}; {_WANTED}")
    yield from cast(Iterable[object], given)
