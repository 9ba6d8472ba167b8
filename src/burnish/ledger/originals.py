"""How answers were written in the source. A row that is taken back gets its first bytes back from here.

The same text can be written in several ways in JSON and CSV, for example with escapes or in quotes. `originals.jsonl`
keeps the answers that burnish would write in another way than the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from burnish.store.files import read_objects, write_atomic
from burnish.store.json_rows import dump_line

ORIGINALS = "originals.jsonl"


def read_originals(folder: Path) -> dict[int, str]:
    """Return {position of the row: how its answer was written} for the rows that are kept."""
    path = folder / ORIGINALS
    if not path.is_file():
        return {}
    return {int(line["position"]): str(line["written"]) for _, line in read_objects(path)}


def write_originals(folder: Path, written: Mapping[int, str]) -> None:
    """Keep how answers were written. This replaces what was kept before."""
    if not written:
        (folder / ORIGINALS).unlink(missing_ok=True)
        return
    lines = (dump_line({"position": position, "written": text}) for position, text in sorted(written.items()))
    write_atomic(folder / ORIGINALS, b"".join(lines))
