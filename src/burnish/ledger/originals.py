"""How answers were written in the source, so that a row that is taken back has its first bytes again.

One text can be written in several ways in JSON and in CSV: with escapes, in quotes. `originals.jsonl` keeps those that
would be written in another way today.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from burnish.store.files import dump_line, read_objects, write_atomic

ORIGINALS = "originals.jsonl"


def read_originals(folder: Path) -> dict[int, str]:
    """Return how the answers of some rows were written, by the position of the row."""
    path = folder / ORIGINALS
    if not path.is_file():
        return {}
    return {int(line["position"]): str(line["written"]) for _, line in read_objects(path)}


def write_originals(folder: Path, written: Mapping[int, str]) -> None:
    """Keep how answers were written, in place of what was kept before."""
    if not written:
        (folder / ORIGINALS).unlink(missing_ok=True)
        return
    lines = (dump_line({"position": position, "written": text}) for position, text in sorted(written.items()))
    write_atomic(folder / ORIGINALS, b"".join(lines))
