"""Uploads to the Hugging Face hub, with errors that say what to do."""

from __future__ import annotations

import importlib
import re
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from burnish.errors import BackendError
from burnish.report.text import terminal

_TOKEN = re.compile(r"hf_\w+")
"""What a token of the hub looks like. It must not be printed."""
_NO_ANSWER = {"TransportError", "TimeoutException", "ConnectionError", "TimeoutError", "OfflineModeIsEnabled"}
"""Names of errors that mean that the hub did not answer. The hub's client has changed its HTTP library twice. Each
library's errors have one of these names among their bases."""


class RepoKind(StrEnum):
    """What a repository holds, in the hub's words."""

    DATASET = "dataset"
    MODEL = "model"


class Hub:
    """The hub, used with the token of `hf auth login` or $HF_TOKEN. burnish never reads the token itself.

    Raises BackendError if the package `huggingface_hub` is not installed.
    """

    def __init__(self, private: bool) -> None:
        self.private = private
        # Imported here, because a refinement that stays on this machine does not need the hub.
        try:
            library: Any = importlib.import_module("huggingface_hub")
        except ImportError:
            raise BackendError(
                "push: the package `huggingface_hub` is not installed; run pip install 'burnish[train]', or write to a "
                "folder with --to DIR"
            ) from None
        self._api: Any = library.HfApi()

    def upload(self, folder: Path, repo: str, kind: RepoKind) -> str:
        """Create the repository if it does not exist, upload a folder as one commit, and return its address. Raises
        BackendError if the hub refuses or does not answer."""
        with _refusals(repo, kind):
            address = self._api.create_repo(repo, repo_type=str(kind), private=self.private, exist_ok=True)
            self._api.upload_folder(
                repo_id=repo, folder_path=str(folder), repo_type=str(kind), commit_message="burnish push"
            )
        return str(address)


@contextmanager
def _refusals(repo: str, kind: RepoKind) -> Generator[None, None, None]:
    """Turn errors of the hub and of the network into a BackendError that says what to do."""
    try:
        yield
    # Broad, since the classes depend on the library's version. What `_fix` does not know is raised again.
    except Exception as error:
        if (fix := _fix(error, repo)) is None:
            raise
        message = _TOKEN.sub("hf_…", terminal(str(error).strip().partition("\n")[0]))
        raise BackendError(f"push: the {kind} {repo} was not uploaded ({message:.300}); {fix}") from None


def _fix(error: Exception, repo: str) -> str | None:
    """Say what to do about an error. Returns None if it is an error of neither the hub nor the network."""
    # By name and not by class, since the classes differ between versions of the hub's client.
    names = {base.__name__ for base in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    # 401: the hub does not know who asks.
    if "LocalTokenNotFoundError" in names or status == 401:
        return "log in with `hf auth login`, or set HF_TOKEN to a token that may write"
    # 403: the hub knows the user, who may not write there.
    if status == 403:
        return (
            f"use a token that may write to {repo.partition('/')[0]!r} (`hf auth login`), or name a repository of yours"
        )
    if names & _NO_ANSWER:
        return "check the network and HF_HUB_OFFLINE and run the same command again, or write to a folder with --to DIR"
    if names & {"HfHubHTTPError", "HFValidationError", "RepositoryNotFoundError"}:
        return "see the hub's message and run the same command again; files that are there are not uploaded twice"
    return None
