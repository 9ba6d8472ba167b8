"""The command `push`: it puts the refined dataset and the model, with their cards, into a folder or on the Hugging Face
hub."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from burnish.config import looks_like_hub_id
from burnish.errors import ConfigError, DataError
from burnish.ledger.cards import README, TAG, Names, write_cards
from burnish.ledger.folder import LEDGER, Folder
from burnish.ledger.hub import Hub, RepoKind
from burnish.ledger.private import check_texts, private_places, without_places
from burnish.ledger.summary import Summary
from burnish.store.files import PART, explained_write_errors, remove_tree

DATASET, MODEL = "dataset", "model"
_MODEL_FILES = {".safetensors", ".json", ".jinja", ".txt", ".model", ".tiktoken", ".gguf"}
"""Suffixes of the files that a model is loaded from. Pickled files are not among them: they can run code when they are
loaded, and they name places."""
_NOT_MODEL = {"trainer_state.json"}
"""Files that have such a suffix but are only about the training."""
_MODEL_SUFFIX = re.compile(r".*config\.json|model\.json")
"""Names of the configs that may name places of this machine."""
_LINK_ABOVE = 1024**2
"""Files with more bytes than this are linked and not copied before an upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What is to be published, with its cards: the folder of the dataset, and the folder of the model if there is
    one."""

    dataset: Path
    model: Path | None

    @property
    def folders(self) -> dict[str, Path]:
        """Return the folders by the names that they have under `--to`."""
        return {DATASET: self.dataset, **({MODEL: self.model} if self.model else {})}


def push(folder_path: Path, repo: str | None, to: Path | None, private: bool = False) -> list[str]:
    """Write dataset and model with their cards to the folder `to`, upload them, or do both. Returns where they are.

    The dataset goes to `repo` and the model to `repo`-model. Raises ConfigError for a wrong name or if neither `repo`
    nor `to` is given, DataError if a place of this machine would become public, BackendError if the hub refuses or does
    not answer.
    """
    if repo is None and to is None:
        raise ConfigError("push: neither REPO nor --to is given; name a hub id OWNER/NAME, or a folder with --to DIR")
    if repo is not None and not looks_like_hub_id(repo):
        raise ConfigError(f"REPO: {repo!r} is no hub id; write OWNER/NAME")
    folder = Folder(folder_path)
    summary = folder.summary
    hub = (
        Hub(private) if repo is not None else None
    )  # raises BackendError for a missing library before anything is written
    done: list[str] = []
    with _staging(folder.path if to is None else to) as place:
        staged = _staged(folder, summary, place, repo, link=to is None)
        # Checked before anything leaves the folder, so that nothing private is published by halves.
        check_texts(folder, summary, staged.folders.values())
        if to is not None:
            done += [str(_moved(path, to / name)) for name, path in staged.folders.items()]
            staged = Staged(dataset=to / DATASET, model=to / MODEL if staged.model else None)
        if hub is not None and repo is not None:
            done.append(hub.upload(staged.dataset, repo, RepoKind.DATASET))
            done += [hub.upload(staged.model, _model_repo(repo), RepoKind.MODEL)] if staged.model else []
    return done


def _model_repo(repo: str) -> str:
    return f"{repo}-model"


@contextmanager
def _staging(near: Path) -> Generator[Path, None, None]:
    """Yield a temporary folder on the same disk as `near`. A kill leaves it behind, hidden; nothing in it becomes
    public."""
    with explained_write_errors(near):
        near.mkdir(parents=True, exist_ok=True)
        # On the same disk, so that folders can be moved by renaming.
        with tempfile.TemporaryDirectory(prefix=".push.", suffix=PART, dir=near) as place:
            yield Path(place)


def _staged(folder: Folder, summary: Summary, place: Path, repo: str | None, link: bool) -> Staged:
    """Put dataset, ledger, model and cards into `place`. Raises DataError if a file is missing."""
    dataset = place / DATASET
    dataset.mkdir()
    for name in (summary.data.file, LEDGER):
        source = folder.path / name
        if not source.is_file():
            raise DataError(f"{source}: no such file; run the same `burnish refine` again, then push")
        _copied(source, dataset / name, link)
    model = _staged_model(folder, summary, place / MODEL, link)
    write_cards(folder, dataset, model, Names(dataset=repo, model=None if repo is None else _model_repo(repo)))
    return Staged(dataset=dataset, model=model)


def _staged_model(folder: Folder, summary: Summary, to: Path, link: bool) -> Path | None:
    """Put the model into `to`, without places of this machine. Returns None if there is no model. Raises DataError if
    its files are missing."""
    if summary.model is None:
        return None
    source = folder.path / summary.model.folder
    if not (source / "config.json").is_file() and not (source / "adapter_config.json").is_file():
        raise DataError(f"{source}: holds no model; run the same `burnish refine` again, then push")
    to.mkdir()
    places = private_places(folder, summary)
    for path in sorted(source.iterdir()):
        if not path.is_file() or path.suffix not in _MODEL_FILES or path.name in _NOT_MODEL:
            continue
        if _MODEL_SUFFIX.fullmatch(path.name):
            # Configs of models name the folder from which the base model was loaded.
            (to / path.name).write_bytes(without_places(path, places))
        else:
            _copied(path, to / path.name, link)
    return to


def _copied(source: Path, to: Path, link: bool) -> None:
    """Copy a file. With `link`, a large file is linked if the disk can do that."""
    if link and source.stat().st_size > _LINK_ABOVE:
        try:
            # A link costs neither time nor space. It is safe only for an upload, which reads the file: under --to the
            # user may edit it.
            to.hardlink_to(source)
        # Some file systems cannot link. Then the file is copied below.
        except OSError:
            pass
        else:
            return
    shutil.copyfile(source, to)


def _moved(path: Path, to: Path) -> Path:
    """Move a finished folder into its place. It may replace a folder that an earlier `push` wrote. Raises ConfigError
    if the place holds other files."""
    if to.exists() and any(to.iterdir()):
        # The card's tag tells a folder of `push` from a folder of the user.
        card = to / README
        if not card.is_file() or TAG not in card.read_text(encoding="utf-8", errors="replace"):
            raise ConfigError(f"--to: {str(to)!r} holds other files; name another folder, or empty it")
    remove_tree(to)
    path.replace(to)
    return to
