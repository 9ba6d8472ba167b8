"""Cut a file of weights into parts for uploads of a limited size, and put the parts together again.

    python benchmarks/gpu/split_weights.py split SmolLM2-135M-Instruct.Q4_1.gguf parts
    python benchmarks/gpu/split_weights.py join parts SmolLM2-135M-Instruct.Q4_1.gguf

The folder of parts also gets `parts.json`, with the sha256 of every part and of the whole file. `join` checks them all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEBIBYTE = 1 << 20
PART_MEBIBYTES = 36
LIST = "parts.json"


class PartsError(Exception):
    """The parts cannot be made, or are not those of one whole file."""


def split(file: Path, into: Path, part_bytes: int = PART_MEBIBYTES * MEBIBYTE) -> list[Path]:
    """Write a file as parts of at most `part_bytes` into a folder, with their list. Returns the parts.

    Raises PartsError if the file does not exist.
    """
    if not file.is_file():
        raise PartsError(f"{file} is no file; name the file of weights")
    into.mkdir(parents=True, exist_ok=True)
    whole, parts = hashlib.sha256(), list[Path]()
    for number, data in enumerate(_pieces(file, part_bytes), 1):
        whole.update(data)
        parts.append(into / f"{file.name}.part{number:02d}")
        parts[-1].write_bytes(data)
    sums = {part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in parts}
    listed = {"name": file.name, "sha256": whole.hexdigest(), "parts": sums}
    (into / LIST).write_text(f"{json.dumps(listed, indent=2)}\n", encoding="utf-8")
    return parts


def join(parts: Path, into: Path) -> Path:
    """Put the parts in a folder together as the file `into`, and return it.

    The file appears only when it is whole. Raises PartsError, which names the part, if one is missing or differs.
    """
    listed = _listed(parts)
    whole = hashlib.sha256()
    unfinished = into.with_name(f"{into.name}.unfinished")
    into.parent.mkdir(parents=True, exist_ok=True)
    with unfinished.open("wb") as out:
        for name, wanted in listed["parts"].items():
            part = parts / name
            if not part.is_file():
                raise PartsError(f"{part} is missing; upload it again")
            data = part.read_bytes()
            if hashlib.sha256(data).hexdigest() != wanted:
                raise PartsError(f"{part} has another sha256 than {LIST} says; upload it again")
            whole.update(data)
            out.write(data)
    if whole.hexdigest() != listed["sha256"]:
        raise PartsError(f"the parts in {parts} make another file than {LIST} says; split the file again")
    unfinished.replace(into)
    return into


def _listed(parts: Path) -> Any:
    try:
        return json.loads((parts / LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PartsError(f"{parts / LIST} cannot be read ({error}); upload the list that `split` wrote") from None


def _pieces(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as data:
        while piece := data.read(size):
            yield piece


def main() -> int:
    """Split or join; returns 2 if the user must correct something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["split", "join"])
    parser.add_argument("source", type=Path)
    parser.add_argument("into", type=Path)
    options = parser.parse_args()
    try:
        made = split(options.source, options.into) if options.verb == "split" else [join(options.source, options.into)]
    except PartsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in made:
        print(f"{path} {path.stat().st_size / MEBIBYTE:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
