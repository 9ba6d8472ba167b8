"""What must not become public: where things are on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import orjson
from pydantic import JsonValue

from burnish.config import FileProposals, expanded
from burnish.errors import ConfigError, DataError
from burnish.ledger.folder import Folder
from burnish.ledger.summary import Summary
from burnish.store.files import pretty

_TEXTS = {".json", ".jinja", ".txt", ".md"}
"""Suffixes of the files whose text is searched for places."""
_VOCABULARY = {"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json"}
"""Files that list pieces of words. `/home` may be among them, but they name no place."""


def private_places(folder: Folder, summary: Summary) -> tuple[str, ...]:
    """Return the absolute paths that a refinement knows of: home, its own folder, and those of its dataset and its
    models."""
    config = summary.config
    scorers = [annotator.base_model for annotator in config.annotators if annotator.base_model is not None]
    models = [model.source for model in (config.model, *scorers) if model is not None]
    file = [config.proposals.path] if isinstance(config.proposals, FileProposals) else []
    sources = [config.data.source, *models, *file]
    # A hub id is no path here, so `_absolute` gives None for it.
    local = [path for path in map(_absolute, sources) if path is not None]
    places = {str(path) for path in (Path.home(), folder.path.resolve(), *local, *(path.parent for path in local))}
    # The root `/` is part of every path, so it is left out. The longest comes first: the message then names the most
    # exact place.
    return tuple(sorted((place for place in places if len(Path(place).parts) > 1), key=len, reverse=True))


def _absolute(source: str) -> Path | None:
    """Return where a source is, or None if it is no path on this machine."""
    try:
        path = Path(expanded(source, "source"))
    except ConfigError:  # the source names a variable that is not set on this machine
        return None
    return path.resolve() if path.is_absolute() or path.exists() else None


def without_places(path: Path, places: Iterable[str]) -> bytes:
    """Return a JSON config in which each path of this machine is replaced by its last part. If there is none, return
    the same bytes. Raises DataError if the file is not JSON."""
    data = path.read_bytes()
    try:
        value: JsonValue = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON ({error}); run the same `burnish refine` again, then push") from None
    known = tuple(places)
    public = _public(value, known)
    return data if public == value else pretty(public)


def _public(value: JsonValue, places: tuple[str, ...]) -> JsonValue:
    """Return a JSON value in which each path of this machine is replaced by its last part."""
    if isinstance(value, dict):
        return {key: _public(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [_public(item, places) for item in value]
    # A base model's config names the folder that it was loaded from, for example.
    if isinstance(value, str) and os.path.isabs(value) and (value.startswith(places) or os.path.exists(value)):
        return Path(value).name
    return value


def check_texts(folder: Folder, summary: Summary, folders: Iterable[Path]) -> None:
    """Raise DataError if a card or a config that is to be uploaded names a place of this machine."""
    places = private_places(folder, summary)
    for path in sorted(path for published in folders for path in published.iterdir()):
        if path.suffix not in _TEXTS or path.name in _VOCABULARY | {summary.data.file}:
            continue
        # A text that is not UTF-8 must be searched, too.
        text = path.read_text(encoding="utf-8", errors="replace")
        if private := next((place for place in places if place in text or _unescaped(place, text)), None):
            raise DataError(
                f"{path.parent.name}/{path.name}: names {private!r}, a file or folder of this machine, which would "
                "become public; "
                "take it out of the settings (criteria, names) or of the model's file in the refinement's folder"
            )


def _unescaped(place: str, text: str) -> bool:
    """Say whether a place is in a text without its backslashes. Cards escape underscores and other marks of
    Markdown."""
    return place in text.replace("\\", "")
