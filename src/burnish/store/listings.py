"""JSON files with long lists of texts. They are written and read text by text, in the form of `files.pretty`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import orjson

from burnish.store.files import replacing

_NAME, _ITEM = b"  ", b"    "
"""The indents of a name and of an item in a list."""


def write_listings(path: Path, values: Mapping[str, Iterable[str] | int]) -> None:
    """Write an object of lists of texts and of numbers. The bytes are those of `pretty`, and no list is in memory.

    Raises StageError if the file cannot be written.
    """
    with replacing(path, sync_folder=False) as file:
        file.write(b"{")
        for number, (name, value) in enumerate(sorted(values.items())):
            file.write(b",\n" if number else b"\n")
            file.write(_NAME + orjson.dumps(name) + b": ")
            if isinstance(value, int):
                file.write(orjson.dumps(value))
                continue
            before = b"[\n"
            for text in value:
                file.write(before + _ITEM + orjson.dumps(text))
                before = b",\n"
            file.write(b"[]" if before == b"[\n" else b"\n" + _NAME + b"]")
        file.write(b"\n}\n" if values else b"}\n")


def listed(path: Path, names: AbstractSet[str]) -> Iterator[str]:
    """Yield the texts of the lists with these names, in the order of the file.

    A file that `pretty` did not write is read as a whole.
    """
    with path.open("rb") as lines:
        if lines.readline() != b"{\n":
            for name, value in orjson.loads(path.read_bytes()).items():
                yield from value if name in names else ()
            return
        wanted = False
        for line in lines:
            text = line.strip().removesuffix(b",")
            if line.startswith(_ITEM):
                if wanted:
                    yield orjson.loads(text)
            elif line.startswith(_NAME + b'"'):
                # A name may have a colon and a space in it, but a list that goes on in the next line ends like this.
                wanted = text.endswith(b": [") and orjson.loads(text.removesuffix(b": [")) in names
