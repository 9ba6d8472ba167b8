"""What things outside the store are known by: a local file or folder by its content, a hub one by its commit."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from burnish.errors import BackendError, ConfigError
from burnish.store.files import checksum, pretty, tree_checksums
from burnish.types import Artifact

UNRESOLVED = "unresolved:"


def of_files(paths: Iterable[Path]) -> Artifact:
    """Identify local files or folders by their content.

    One file or folder on its own keeps its identity when it is renamed. Several are told apart by their names, and
    where a name comes twice, by their places below the folder that holds all of them.
    """
    places = sorted(set(paths))
    sums = {
        name: checksum(path) if path.is_file() else tree_checksums(path)
        for name, path in zip(_names(places), places, strict=True)
    }
    return Artifact(path="", kind="content", fingerprint=hashlib.sha256(pretty(sums)).hexdigest())


def _names(places: Sequence[Path]) -> list[str]:
    """Return a name for each place; no two places share one, or one of them would hide the other."""
    if len(places) == 1:
        return [""]
    counts = Counter(path.name for path in places)
    whole = [Path(os.path.abspath(path)) for path in places]
    common = os.path.commonpath([path.parent for path in whole])
    # A name that comes once stays bare, so that finished stages keep their identity.
    return [path.relative_to(common).as_posix() if counts[path.name] > 1 else path.name for path in whole]


def of_hub(kind: str, source: str, revision: str | None, field: str, offline_ok: bool) -> Artifact:
    """Identify a hub model or dataset by its commit, asked of the hub or found in the local cache.

    Where neither answers: "unresolved" if `offline_ok` (a dry run), else BackendError.
    """
    if importlib.util.find_spec("huggingface_hub") is not None:
        commit = _ask_hub(kind, source, revision, field) or _cached(kind, source, revision)
        if commit:
            return Artifact(path=source, kind="hub", fingerprint=f"hub:{commit}")
    if offline_ok:
        return Artifact(path=source, kind="hub", fingerprint=f"{UNRESOLVED}{source}@{revision or 'main'}")
    raise BackendError(
        f"{field}: {source!r} cannot be resolved to a commit: the hub does not answer and the local cache does not "
        "hold it; check the network, or give a local folder"
    )


def _ask_hub(kind: str, source: str, revision: str | None, field: str) -> str | None:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        return None
    api = HfApi()
    ask = api.model_info if kind == "model" else api.dataset_info
    try:
        return ask(source, revision=revision, timeout=10).sha
    except RepositoryNotFoundError:
        raise ConfigError(f"{field}: {source!r} is not on the hub (or is private: log in); check the name") from None
    except (HfHubHTTPError, OSError):
        return None
    except Exception as error:
        # The hub's client has changed its HTTP library twice; all of them have this base class, and none the same one.
        if any(base.__name__ == "TransportError" for base in type(error).__mro__):
            return None
        raise


def _cached(kind: str, source: str, revision: str | None) -> str | None:
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        place = snapshot_download(source, repo_type=kind, revision=revision, local_files_only=True)
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None
    return Path(place).name


def unresolved(fingerprints: Iterable[str]) -> list[str]:
    """Return the hub ids among identities that are known by name alone: nobody could be asked for their commit."""
    return sorted({name.removeprefix(UNRESOLVED) for name in fingerprints if name.startswith(UNRESOLVED)})
