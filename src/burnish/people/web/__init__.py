"""The pages of a study: those for the people who answer, and those for the administrator."""

from __future__ import annotations

import importlib.util

from burnish.errors import ConfigError

_NEEDED = {"starlette": "starlette", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}


def check_installed() -> None:
    """Raise ConfigError if a library that serves pages is missing."""
    for module, package in _NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"study: the package `{package}` is not installed, which serves the pages; run pip install "
                "'burnish[web]'"
            )
