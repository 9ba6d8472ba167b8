"""The names under which a server gets adapters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from burnish.errors import BackendError
from burnish.models.adapter import ADAPTER_CONFIG
from burnish.models.checks import read_mapping
from burnish.store.files import checksum
from burnish.types import Artifact

SHOWN = 16
"""How many hex digits of the content's hash a name has."""


def adapter_name(model: Artifact) -> str:
    """Return the name of an adapter on a server: its fingerprint and a hash of its files.

    A server that already has a name goes on with the first adapter of that name. The fingerprint says how an adapter
    was trained. If it is trained again, after a loss of the store or on another machine, its weights can differ in the
    last digits. Therefore the content is part of the name, too.
    """
    folder = Path(model.path)
    files = sorted([*folder.glob("adapter_model.*"), folder / ADAPTER_CONFIG])
    sums = "".join(checksum(file) for file in files)
    # The name of a checkpoint holds a slash, which some servers do not take.
    return f"{model.fingerprint.replace('/', '-')}-{hashlib.sha256(sums.encode()).hexdigest()[:SHOWN]}"


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """What a server must know of adapters when it is started: the largest rank, and the names of adapted layers."""

    rank: int
    layers: frozenset[str]

    def also(self, other: AdapterShape | None) -> AdapterShape:
        """Return what a server needs that takes both."""
        return self if other is None else AdapterShape(max(self.rank, other.rank), self.layers | other.layers)


def shape_of(folder: Path) -> AdapterShape:
    """Return the shape of the adapter in a folder. Raises BackendError if its config does not tell it."""
    match read_mapping(folder / ADAPTER_CONFIG, "adapter"):
        case {"r": int(rank), "target_modules": list(layers)}:
            return AdapterShape(rank, frozenset(map(str, cast(list[object], layers))))
        case _:
            raise BackendError(f"{folder / ADAPTER_CONFIG}: it names no rank and no layers; train the adapter again")
