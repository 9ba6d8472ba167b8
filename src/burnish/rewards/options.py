"""The options of `burnish reward train` as settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from burnish.config.reading import changed
from burnish.config.rewards import BUILTIN, REAL, RewardTraining
from burnish.errors import ConfigError
from burnish.models import location

_TRAIN = ("epochs", "learning_rate", "batch_size", "max_tokens")
"""The options that are fields of `train`."""
_ADAPTER = TypeAdapter(RewardTraining)


def training_of(model: str, options: Mapping[str, Any], changes: Sequence[str] = ()) -> RewardTraining:
    """Return the settings of a training from the options that are given. None means that an option is not given.

    `lora_rank` 0 trains all weights. `changes` (`a.b=c`) are applied last. Raises ConfigError, which names the field.
    """
    default = BUILTIN if model.startswith(location.BUILTIN) else REAL
    train = default.model_dump(mode="json") | {name: options[name] for name in _TRAIN if options.get(name) is not None}
    if (rank := options.get("lora_rank")) is not None:
        if rank < 0:
            raise ConfigError(f"--lora-rank: {rank} found; give at least 1, or 0 to train all weights")
        train["lora"] = {"r": rank, "alpha": 2 * rank} if rank else None
    values: dict[str, Any] = {"model": {"source": model}, "train": train}
    values |= {name: options[name] for name in ("held_out", "centring", "seed") if options.get(name) is not None}
    return changed(_ADAPTER, values, "reward", changes)
