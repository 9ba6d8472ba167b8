"""What a benchmark found, as JSON: printed, and written into a file if one is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def put(result: Mapping[str, Any], out: Path | None) -> None:
    """Print a result, and write it into `out` if that is not None."""
    text = json.dumps(result, indent=2)
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(f"{text}\n", encoding="utf-8")
