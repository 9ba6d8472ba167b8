"""The algorithms of reinforcement learning by their settings. What makes the trainers of TRL is in trl_rl.py.

A plug-in registers its algorithm here while a config is read. So this module imports no model library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from burnish.config import ALGORITHMS, AlgorithmSettings
from burnish.errors import ConfigError

S = TypeVar("S", bound=AlgorithmSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerParts:
    """What a trainer is made of.

    `arguments` are those that all algorithms share. `rewards` is called with the answers of a step. `dataset` has the
    prompts as conversations of one message, and `tokenizer` turns them into burnish's own token ids.
    """

    model: Any
    arguments: Mapping[str, Any]
    rewards: Callable[..., list[float | None]]
    dataset: Any
    tokenizer: Any
    callbacks: list[Any]


MakeTrainer: TypeAlias = Callable[[S, TrainerParts], Any]
"""A function that returns the configured trainer of an algorithm, which is like a trainer of TRL."""
_makers: dict[type[AlgorithmSettings], MakeTrainer[Any]] = {}


def register_algorithm(settings: type[S], make: MakeTrainer[S]) -> None:
    """Register an algorithm of RL, so that configs can name it.

    `settings` is the settings class; it inherits from `burnish.config.AlgorithmSettings`. The trainer that `make`
    returns must log `kl` (the mean of a token, in nats) and `completions/mean_length`. Raises ConfigError if another
    class has the same kind.
    """
    ALGORITHMS.add(settings)
    _makers[settings] = make


def trainer_of(settings: AlgorithmSettings, parts: TrainerParts) -> Any:
    """Return the trainer of an algorithm. Raises ConfigError if the algorithm is not registered."""
    if type(settings) not in _makers:
        raise ConfigError(f"algorithm: kind {settings.kind!r} is not registered; call burnish.register_algorithm")
    return _makers[type(settings)](settings, parts)
