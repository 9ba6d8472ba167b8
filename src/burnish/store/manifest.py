"""The files in which the store describes itself: manifests of stages, costs of unfinished stages, and records of runs.

A faulty disk, an incomplete copy or an editor can damage any of these files. Therefore each file is checked against a
schema, and a manifest is also compared with the folder in which it was found.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from burnish.errors import StageError
from burnish.store.canonical import canonical

T = TypeVar("T")
MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
PLACE_DIGITS = 32
"""The number of digits of a fingerprint (of 64) that name the folder of a stage."""
_Whole = Annotated[int, Field(ge=0, strict=True)]
_Seconds = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
_Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file of a finished stage."""

    sha256: _Fingerprint
    bytes: _Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The values that were hashed into the fingerprint of a stage."""

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[int, Field(strict=True)]
    config: dict[str, JsonValue]
    inputs: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What burnish reads of the `manifest.json` of a finished stage."""

    fingerprint: _Fingerprint
    payload: Payload
    outputs: dict[str, Output]
    seconds: _Seconds
    counts: dict[str, _Whole]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What an unfinished stage has cost until now."""

    counts: dict[str, _Whole]
    seconds: _Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The stages from which the results in one folder came. `host` wrote the folder. It is empty if version 0.1 wrote
    the record."""

    out: Annotated[str, Field(min_length=1)]
    stages: list[_Fingerprint]
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Says which file of the store cannot be used, and why."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path} is damaged ({self.why})"


_MANIFEST, _COSTS, _RECORD = TypeAdapter(Manifest), TypeAdapter(Costs), TypeAdapter(RunRecord)


def read_manifest(place: Path, name: str, digits: str) -> tuple[Manifest, dict[str, Any]] | Damage | None:
    """Read the manifest in the folder `place`. Return it with its payload as it is written there.

    The manifest must belong to the stage `name` whose fingerprint begins with `digits`. Returns None if the folder does
    not exist, and a Damage if the manifest is missing or wrong. Raises StageError if another version of burnish wrote
    the manifest, or if the system does not allow it to be read.
    """
    path = place / MANIFEST
    values = _values(path)
    if values is None:
        return Damage(path=path, why="it is missing") if place.exists() else None
    if isinstance(values, Damage):
        return values
    _check_version(path, values)
    manifest = _checked(_MANIFEST, values, path)
    if isinstance(manifest, Damage):
        return manifest
    # The payload is hashed as it is written, with any field that the schema does not know.
    payload = values["payload"]
    if hashlib.sha256(canonical(payload)).hexdigest() != manifest.fingerprint:
        return Damage(path=path, why="its fingerprint is not the one of its payload")
    # A folder that was renamed or copied to a wrong place has a valid manifest, but of another stage.
    if (name, digits) != (manifest.payload.name, manifest.fingerprint[:PLACE_DIGITS]):
        return Damage(path=path, why=f"it belongs to {manifest.payload.name} {manifest.fingerprint[:8]}")
    return manifest, payload


def read_costs(path: Path) -> Costs | Damage | None:
    """Read what an unfinished stage has cost. Return None if nothing was counted, and a Damage if the file is damaged.

    Raises StageError if the system does not allow the file to be read.
    """
    values = _values(path)
    return values if values is None or isinstance(values, Damage) else _checked(_COSTS, values, path)


def read_record(path: Path) -> RunRecord | Damage | None:
    """Read which stages a run refers to. Return None if there is no record, and a Damage if it is damaged.

    Raises StageError as `read_manifest` does.
    """
    values = _values(path)
    return values if values is None or isinstance(values, Damage) else _record_of(values, path)


def parse_record(data: bytes, path: Path) -> RunRecord | Damage:
    """Return the record of a run from its bytes. `path` names it in messages. Raises StageError as `read_record`
    does."""
    values = _parsed(data, path)
    return values if isinstance(values, Damage) else _record_of(values, path)


def _record_of(values: dict[str, Any], path: Path) -> RunRecord | Damage:
    _check_version(path, values)
    return _checked(_RECORD, values, path)


def _values(path: Path) -> dict[str, Any] | Damage | None:
    try:
        if path.exists() and not path.is_file():  # reading a named pipe would wait for ever
            return Damage(path=path, why="it is not an ordinary file")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StageError(f"{path}: cannot be read ({error.strerror}); check its permissions and the disk") from error
    return _parsed(data, path)


def _parsed(data: bytes, path: Path) -> dict[str, Any] | Damage:
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return Damage(path=path, why=f"not JSON: {error}")
    if not isinstance(values, dict):
        return Damage(path=path, why=f"it holds {type(values).__name__}, not an object")
    return values  # pyright: ignore[reportUnknownVariableType]


def _check_version(path: Path, values: dict[str, Any]) -> None:
    """Raise StageError if another version of burnish wrote the file.

    A version that is not a whole number does not raise: `_checked` reports it as damage.
    """
    version = values.get("schema_version", SCHEMA_VERSION)
    # In Python, bool is a subclass of int, and True == 1.
    if isinstance(version, int) and not isinstance(version, bool) and version != SCHEMA_VERSION:
        raise StageError(
            f"{path}: schema_version {version} found, this burnish reads {SCHEMA_VERSION}; "
            "use another --store or the burnish that wrote it"
        )


def _checked(adapter: TypeAdapter[T], values: dict[str, Any], path: Path) -> T | Damage:
    # `is not` refuses 1.0 and true, which are equal to 1.
    if values.get("schema_version", SCHEMA_VERSION) is not SCHEMA_VERSION:
        return Damage(path=path, why="schema_version: it is not a whole number")
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return Damage(path=path, why=f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:200])
