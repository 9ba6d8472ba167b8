"""Which store a command uses."""

from __future__ import annotations

import os
from pathlib import Path


def default_store() -> Path:
    """Return the path in `$BURNISH_STORE`, or `.burnish` in the working directory if that variable is not set."""
    return Path(os.environ.get("BURNISH_STORE") or ".burnish")
