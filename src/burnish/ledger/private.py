"""What must not become public: where things lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import orjson
from pydantic import JsonValue

from burnish.config import expanded
from burnish.errors import ConfigError, DataError
from burnish.ledger.folder import Folder
from burnish.ledger.summary import Summary
from burnish.store.files import pretty

_TEXTS = {".json", ".jinja", ".txt", ".md"}
_VOCABULARY = {"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json"}
"""Files that list pieces of words, `/home` among them perhaps, and name no place."""


def private_places(folder: Folder, summary: Summary) -> tuple[str, ...]:
    """Return the absolute paths that a refinement knows of: home, its own folder, its dataset's and its models'."""
    config = summary.config
    scorers = [one.base_model for one in config.annotators if one.base_model is not None]
    sources = [config.data.source, config.model.source, *(model.source for model in scorers)]
    local = [path for path in map(_absolute, sources) if path is not None]
    places = {str(path) for path in (Path.home(), folder.path.resolve(), *local, *(path.parent for path in local))}
    return tuple(sorted((place for place in places if len(Path(place).parts) > 1), key=len, reverse=True))


def _absolute(source: str) -> Path | None:
    """Return where a source lies, None where it is no path here."""
    try:
        path = Path(expanded(source, "source"))
    except ConfigError:  # a variable that is not set on this machine
        return None
    return path.resolve() if path.is_absolute() or path.exists() else None


def without_places(path: Path, places: Iterable[str]) -> bytes:
    """Return a JSON config with each path of this machine replaced by its last part; the same bytes if it has none."""
    data = path.read_bytes()
    try:
        value: JsonValue = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON ({error}); run the same `burnish refine` again, then push") from None
    known = tuple(places)
    public = _public(value, known)
    return data if public == value else pretty(public)


def _public(value: JsonValue, places: tuple[str, ...]) -> JsonValue:
    if isinstance(value, dict):
        return {key: _public(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [_public(item, places) for item in value]
    if isinstance(value, str) and os.path.isabs(value) and (value.startswith(places) or os.path.exists(value)):
        return Path(value).name
    return value


def check_texts(folder: Folder, summary: Summary, folders: Iterable[Path]) -> None:
    """Raise DataError where a card or a config that goes out names a place of this machine."""
    places = private_places(folder, summary)
    for path in sorted(path for one in folders for path in one.iterdir()):
        if path.suffix not in _TEXTS or path.name in _VOCABULARY | {summary.data.file}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if found := next((place for place in places if place in text or _unescaped(place, text)), None):
            raise DataError(
                f"{path.parent.name}/{path.name}: names {found!r}, a place of this machine, which would become public; "
                "take it out of the settings (criteria, names) or of the model's file in the refinement's folder"
            )


def _unescaped(place: str, text: str) -> bool:
    """Cards escape underscores and other marks of Markdown."""
    return place in text.replace("\\", "")
