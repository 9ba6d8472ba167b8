"""Reading a results folder. Every object is checked, and an error names the file, the field and the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from burnish import __version__
from burnish.errors import DataError
from burnish.results.confidence import Confidence
from burnish.results.records import (
    CHANGES_FILE,
    CONFIDENCE_FILE,
    MODELS_FILE,
    RESULTS_FILE,
    SCHEMA_VERSION,
    TIMINGS_FILE,
    Change,
    Record,
    Results,
    Timings,
    TrainedModels,
)
from burnish.store.files import read_objects

AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_results(directory: Path) -> Results:
    """Read results.json of a results folder. Raises DataError, which names the file, the field and the fix."""
    return _read(directory / RESULTS_FILE, Results)


def read_timings(directory: Path) -> Timings:
    """Read timings.json of a results folder. Raises DataError as `read_results` does."""
    return _read(directory / TIMINGS_FILE, Timings)


def read_models(directory: Path) -> TrainedModels:
    """Read models.json of a results folder: where the trained models lie. Raises DataError as `read_results` does."""
    return _read(directory / MODELS_FILE, TrainedModels)


def read_changes(directory: Path) -> list[Change]:
    """Read changes.jsonl of a results folder. Raises DataError, which names the line and the field."""
    # JSONL: one object in each line, so an error names its line.
    path = directory / CHANGES_FILE
    _require(path)
    return [_checked(value, Change, f"{path}:{number}") for number, value in read_objects(path)]


def read_confidence(directory: Path) -> list[Confidence]:
    """Read confidence.jsonl of a results folder. A folder that burnish 0.1.0 wrote has none, and the list is empty.

    Raises DataError, which names the line and the field.
    """
    path = directory / CONFIDENCE_FILE
    if not path.exists():
        return []
    return [_checked(value, Confidence, f"{path}:{number}") for number, value in read_objects(path)]


def _read(path: Path, model: type[AnyRecord]) -> AnyRecord:
    """Read one JSON object and check it."""
    _require(path)
    try:
        value = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON ({error}); run `burnish run` again, finished work is kept") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: {type(value).__name__} found; the file must hold one JSON object")
    # Check the version first: a file of another version would fail on some field, and that message would not help.
    _check_version(path, value)  # pyright: ignore[reportUnknownArgumentType]
    return _checked(value, model, str(path))  # pyright: ignore[reportUnknownArgumentType]


def _require(path: Path) -> None:
    """Raise DataError if the file does not exist."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the folder that `burnish run` wrote (its --out)")


def _check_version(path: Path, value: dict[str, Any]) -> None:
    """Raise DataError if another version of the format wrote the file."""
    file_version = value.get("schema_version")
    # type() and not isinstance: True == 1 in Python, and JSON's `true` is not a version.
    if file_version == SCHEMA_VERSION and type(file_version) is int:
        return
    writer = value.get("burnish_version")
    other = f"burnish {writer}" if isinstance(writer, str) else "the burnish that wrote it"
    raise DataError(
        f"{path}: schema_version {file_version!r} found, burnish {__version__} reads {SCHEMA_VERSION}; "
        f"write it again with this version (`burnish run` on the same config) or install {other}"
    )


def _checked(value: dict[str, Any], model: type[AnyRecord], where: str) -> AnyRecord:
    """Return the value as a model, or raise DataError with the first field that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # One error is enough for a short message. A wrong file often has the same error in every row.
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{where}: {field or 'file'}: {first['msg']}, found {str(first['input'])[:80]!r}") from None
