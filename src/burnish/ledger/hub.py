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
_NO_ANSWER = {"TransportError", "TimeoutException", "ConnectionError", "TimeoutError", "OfflineModeIsEnabled"}
"""The hub's client has changed its HTTP library twice; one of these names is a base of each library's errors."""


class Kind(StrEnum):
    """What a repository holds, in the hub's words."""

    DATASET = "dataset"
    MODEL = "model"


class Hub:
    """The hub as the user is known to it: by the token of `hf auth login` or $HF_TOKEN, which burnish never reads."""

    def __init__(self, private: bool) -> None:
        self.private = private
        # Imported here: a refinement that stays on this machine needs no hub.
        try:
            library: Any = importlib.import_module("huggingface_hub")
        except ImportError:
            raise BackendError(
                "push: the package `huggingface_hub` is not installed; run pip install 'burnish[train]', or write to a "
                "folder with --to DIR"
            ) from None
        self._api: Any = library.HfApi()

    def upload(self, folder: Path, repo: str, kind: Kind) -> str:
        """Make the repository if it is not there, and upload a folder as one commit; returns its address."""
        with _refusals(repo, kind):
            address = self._api.create_repo(repo, repo_type=str(kind), private=self.private, exist_ok=True)
            self._api.upload_folder(
                repo_id=repo, folder_path=str(folder), repo_type=str(kind), commit_message="burnish push"
            )
        return str(address)


@contextmanager
def _refusals(repo: str, kind: Kind) -> Generator[None, None, None]:
    try:
        yield
    except Exception as error:
        if (fix := _fix(error, repo)) is None:
            raise
        said = _TOKEN.sub("hf_…", terminal(str(error).strip().partition("\n")[0]))
        raise BackendError(f"push: the {kind} {repo} was not uploaded ({said:.300}); {fix}") from None


def _fix(error: Exception, repo: str) -> str | None:
    """Say what to do about an error, None where it is not the hub's or the network's."""
    names = {base.__name__ for base in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    if "LocalTokenNotFoundError" in names or status == 401:
        return "log in with `hf auth login`, or set HF_TOKEN to a token that may write"
    if status == 403:
        return (
            f"use a token that may write to {repo.partition('/')[0]!r} (`hf auth login`), or name a repository of yours"
        )
    if names & _NO_ANSWER:
        return "check the network and HF_HUB_OFFLINE and run the same command again, or write to a folder with --to DIR"
    if names & {"HfHubHTTPError", "HFValidationError", "RepositoryNotFoundError"}:
        return "see the hub's message; run the same command again: what is there is not uploaded twice"
    return None
