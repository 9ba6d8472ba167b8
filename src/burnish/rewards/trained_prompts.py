"""The prompts that a reward model was trained on. What it says of them does not show what it is worth on others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from burnish.config import ModelConfig
from burnish.errors import DataError
from burnish.models.location import find
from burnish.rewards.pairs import GivenPairs, LeftOutPair
from burnish.store.files import pretty, write_atomic

PROMPTS_FILE = "trained_on.json"
"""The file beside a reward model with the groups of the prompts that it was trained on. A group is a hash."""
_GROUPS = "groups"
_PROMPTS = TypeAdapter(dict[str, frozenset[str]])


def write_prompts(groups: Iterable[str], folder: Path) -> None:
    """Write the groups of prompts into the folder of a reward model."""
    write_atomic(folder / PROMPTS_FILE, pretty({_GROUPS: sorted(set(groups))}))


def prompts_of(model: ModelConfig) -> frozenset[str]:
    """Return the groups of the prompts that a reward model was trained on. They are known if burnish trained it.

    Raises DataError if the file with them is damaged.
    """
    folder = find(model)
    path = None if folder is None else folder / PROMPTS_FILE
    if path is None or not path.is_file():
        return frozenset()
    try:
        return _PROMPTS.validate_json(path.read_bytes())[_GROUPS]
    except (ValidationError, KeyError):
        raise DataError(
            f"{path}: is no list of prompts that `burnish reward train` wrote; train the reward model again, or remove "
            "the file if you know that the model was trained on other prompts"
        ) from None


def unseen(given: GivenPairs, model: ModelConfig) -> GivenPairs:
    """Leave out and count the pairs of prompts that the reward model was trained on.

    Raises DataError if no pair is left.
    """
    seen = prompts_of(model)
    pairs = tuple(pair for pair in given.pairs if pair.group not in seen)
    if not pairs:
        raise DataError(
            f"pairs: {model.source!r} was trained on the prompts of all {len(given.pairs):,} pairs; give pairs of "
            "other prompts"
        )
    counts = Counter(given.left_out) + Counter({str(LeftOutPair.TRAINED_ON): len(given.pairs) - len(pairs)})
    return GivenPairs(pairs=pairs, left_out=dict(sorted(counts.items())))
