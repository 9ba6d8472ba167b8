"""Identities of things outside the store.

A local file or folder is identified by its content, and a model or dataset on the hub by its commit.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from burnish.errors import BackendError, ConfigError
from burnish.store.files import checksum, pretty, tree_checksums
from burnish.store.known_hashes import KnownHashes
from burnish.types import Artifact

UNRESOLVED = "unresolved:"
"""The beginning of the identity of a hub id whose commit is not known, and of a server whose version is not known. Only
a dry run has such identities."""


def of_files(paths: Iterable[Path], known: KnownHashes | None = None) -> Artifact:
    """Identify local files or folders by their content. Files that are `known` and unchanged are not read again.

    A single file or folder keeps its identity if it is renamed. Several are distinguished by their names. If a name
    occurs twice, the paths below their common folder are used instead.
    """
    unique = sorted(set(paths))
    sum_of = checksum if known is None else known.checksum
    sums = {
        name: sum_of(path) if path.is_file() else tree_checksums(path, sum_of)
        for name, path in zip(_names(unique), unique, strict=True)
    }
    return Artifact(path="", kind="content", fingerprint=hashlib.sha256(pretty(sums)).hexdigest())


def _names(paths: Sequence[Path]) -> list[str]:
    """Return a different name for each path. With equal names, the content of one path would hide that of the other."""
    if len(paths) == 1:
        return [""]
    counts = Counter(path.name for path in paths)
    whole = [Path(os.path.abspath(path)) for path in paths]
    common = os.path.commonpath([path.parent for path in whole])
    # A name that occurs once is used alone, as before, so that finished stages keep their identity.
    return [path.relative_to(common).as_posix() if counts[path.name] > 1 else path.name for path in whole]


def of_hub(kind: str, source: str, revision: str | None, field: str, offline_ok: bool) -> Artifact:
    """Identify a hub model or dataset by its commit. The hub is asked first, and then the local cache.

    If neither knows the commit, the identity begins with "unresolved:" if `offline_ok` is set (a dry run). Raises
    BackendError if it is not set, and ConfigError, which names `field`, if the hub does not have the id.
    """
    # Without the package huggingface_hub the hub cannot be asked, but local files can still be used.
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
        # The hub's client has changed its HTTP library twice. Each library has its own base class of network errors,
        # but all of these classes are called TransportError.
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
    return Path(place).name  # the cache names each snapshot's folder after its commit


def unresolved_words(source: str) -> str:
    """Return the line of a dry run for what `unresolved` returned."""
    if source.startswith(("http://", "https://")):
        return f"unresolved  {source} (the server does not answer, or has no version: a run would end with an error)"
    return f"unresolved  {source} (the hub does not answer; a run looks up its commit first)"


def unresolved(fingerprints: Iterable[str]) -> list[str]:
    """Return what is not known among identities: hub ids without a commit, and addresses of servers without a version.

    Neither the hub nor its cache answered, or the server did not.
    """
    return sorted({name.removeprefix(UNRESOLVED) for name in fingerprints if name.startswith(UNRESOLVED)})
