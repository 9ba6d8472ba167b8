"""What `gc` can remove."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from burnish.store.files import tree_size

MODELS = ("train_policy", "train_preferences", "train", "train_classifier", "train_rewards")
"""The stages whose results are models. They are the largest, and the least likely to be needed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A file or folder that no run refers to. `size` is in bytes. `objects` is the prefix of its files in a bucket."""

    path: Path
    name: str
    size: int
    objects: str = ""


def garbage_at(path: Path, name: str) -> Garbage:
    """Return a file or folder as garbage, with its size."""
    return Garbage(path=path, name=name, size=tree_size(path))
