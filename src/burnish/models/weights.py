"""Checks files of weights without a model library. Finds out whether they are whole, and whether they hold NaN."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CHUNK = 2**24
"""How many numbers are looked at together."""
_NAN_ABOVE: Mapping[str, tuple[str, int]] = {
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F32": ("<u4", 0x7F800000),
    "F64": ("<u8", 0x7FF0000000000000),
}
"""For each format: the type as which the bits of a number are read, and the bits of infinity.

The bits of NaN, without the sign, are above them.
"""
# 0x80 begins every pickle of protocol 2 or later. The library safetensors reads headers up to about 100 MB.
_PICKLE, _MOST_HEADER = 0x80, 100 * 2**20


class FlawError(ValueError):
    """A file is not a file of weights, or it is damaged. The message says why."""


def check_safetensors(path: Path) -> None:
    """Check a safetensors file. Raises FlawError if it is cut off, is not a safetensors file, or holds NaN."""
    data, tensors = _header(path)
    size, end = path.stat().st_size, max((tensor.end for tensor in tensors.values()), default=0)
    if end > size - data:
        raise FlawError(f"it is cut off: {size:,} bytes found, but its header names {data + end:,}")
    for name, tensor in tensors.items():
        if tensor.dtype in _NAN_ABOVE and _has_nan(path, tensor.dtype, data, [tensor.begin, tensor.end]):
            raise FlawError(f"the tensor {name!r} holds NaN, which is no number")


def tensor_names(path: Path) -> list[str]:
    """Return the names of the tensors in a safetensors file. Raises FlawError if it is none, or if it is cut off."""
    return list(_header(path)[1])


def _header(path: Path) -> tuple[int, dict[str, _Stored]]:
    """Return where the data of a safetensors file begin, and its tensors by name."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        # The first 8 bytes are the length of the header. The header is a JSON object, so it has at least two bytes
        # (`{}`). If a large model was left as a pointer of Git LFS, its file begins with text, which makes an absurd
        # length.
        if not 2 <= length <= min(size - 8, _MOST_HEADER):
            raise FlawError("it is no safetensors file, or it is cut off")
        try:
            header: Any = json.loads(file.read(length))
            tensors = {name: _Stored.of(values) for name, values in header.items() if name != "__metadata__"}
        except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
            raise FlawError("its header cannot be read: it is no safetensors file, or it is damaged") from None
    return 8 + length, tensors


class _Stored(NamedTuple):
    """A tensor of a safetensors file. Its offsets count from the end of the header."""

    dtype: str
    begin: int
    end: int

    @classmethod
    def of(cls, values: Any) -> _Stored:
        """Read what the header says. Raises ValueError, TypeError or KeyError if it has another form."""
        dtype, (begin, end) = values["dtype"], values["data_offsets"]
        # `type` is used and not isinstance, because `true` is an int in Python.
        if type(dtype) is not str or type(begin) is not int or type(end) is not int or not 0 <= begin <= end:
            raise ValueError(values)
        return cls(dtype, begin, end)


def _has_nan(path: Path, form: str, data: int, offsets: list[int]) -> bool:
    kind, infinity = _NAN_ABOVE[form]
    dtype = np.dtype(kind)
    count = (offsets[1] - offsets[0]) // dtype.itemsize
    if count <= 0:
        return False
    # The bits are compared as whole numbers, because numpy has no bfloat16. The file is mapped and looked at in chunks,
    # so it may be larger than the memory.
    numbers_N = np.memmap(path, dtype=dtype, mode="r", offset=data + offsets[0], shape=(count,))
    unsigned = dtype.type(2 ** (8 * dtype.itemsize - 1) - 1)
    return any(bool(((numbers_N[at : at + CHUNK] & unsigned) > infinity).any()) for at in range(0, count, CHUNK))


def check_pickle(path: Path) -> None:
    """Check that a `.bin` file has one of the two forms in which torch writes weights. It is not unpickled.

    Raises FlawError if it has neither form, or if its end is missing.
    """
    with path.open("rb") as file:
        first = file.read(1)
    # torch writes a zip file since version 1.6, and wrote a bare pickle before. A zip file ends with the list of its
    # contents. So a zip file whose end is missing is found without reading all of it.
    if not zipfile.is_zipfile(path) and first != bytes([_PICKLE]):
        raise FlawError("it is no file that torch wrote, or it is cut off")


class _Kind(NamedTuple):
    """A type of GGUF tensors. A block of so many numbers takes so many bytes (`size`)."""

    numbers: int
    size: int


_GGUF_KINDS: Mapping[int, _Kind] = {
    number: _Kind(numbers, size)
    for number, numbers, size in (
        # (number of the type, numbers in a block, bytes of a block), as in the table of the package gguf
        # F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1
        *((0, 1, 4), (1, 1, 2), (2, 32, 18), (3, 32, 20), (6, 32, 22), (7, 32, 24), (8, 32, 34), (9, 32, 40)),
        # Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K
        *((10, 256, 84), (11, 256, 110), (12, 256, 144), (13, 256, 176), (14, 256, 210), (15, 256, 292)),
        # IQ2_XXS, IQ2_XS, IQ3_XXS, IQ1_S, IQ4_NL, IQ3_S, IQ2_S
        *((16, 256, 66), (17, 256, 74), (18, 256, 98), (19, 256, 50), (20, 32, 18), (21, 256, 110), (22, 256, 82)),
        # IQ4_XS, I8, I16, I32, I64, F64, IQ1_M, BF16
        *((23, 256, 136), (24, 1, 1), (25, 1, 2), (26, 1, 4), (27, 1, 8), (28, 1, 8), (29, 256, 56), (30, 1, 2)),
        # TQ1_0, TQ2_0, MXFP4
        *((34, 256, 54), (35, 256, 66), (39, 32, 17)),
    )
}
# The bytes of each type of value, in this order: u8, i8, u16, i16, u32, i32, f32, bool, u64, i64, f64
_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 8
"""Dimensions of a tensor in a GGUF file. The format allows 4."""
_MOST_NESTED = 8
"""The most levels of arrays inside one another in the header of a GGUF file. Real files have one level."""
_MOST = 2**32


class _Reader:
    """Reads the header of a GGUF file. Raises FlawError if the file ends too early."""

    def __init__(self, path: Path) -> None:
        self.file, self.size = path.open("rb"), path.stat().st_size

    def bytes_(self, count: int) -> bytes:
        """Read so many bytes. Raises FlawError if the file ends before."""
        # A damaged length may be any number of 64 bits. Python would try to reserve that much memory.
        data = self.file.read(count) if count <= self.size else b""
        if len(data) < count:
            raise FlawError("it is cut off within its header")
        return data

    def number(self, form: str) -> int:
        return int(struct.unpack(f"<{form}", self.bytes_(struct.calcsize(f"<{form}")))[0])

    def skip_value(self, kind: int, depth: int = 0) -> int:
        """Skip a value. Return it if it is an unsigned number of 32 bits (as the alignment is), and otherwise 0.

        Raises FlawError if the header is damaged.
        """
        if depth > _MOST_NESTED:
            raise FlawError(f"its header is damaged: more than {_MOST_NESTED} arrays inside one another")
        if kind == _STRING:
            self.bytes_(self.number("Q"))
        elif kind == _ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner in _SCALARS:
                self.bytes_(_SCALARS[inner] * count)
            else:
                for _ in range(count):
                    self.skip_value(inner, depth + 1)
        elif kind == 4:
            return self.number("I")
        elif kind in _SCALARS:
            self.bytes_(_SCALARS[kind])
        else:
            raise FlawError(f"its header is damaged: a value of the unknown type {kind}")
        return 0


class _Tensor(NamedTuple):
    """A tensor of a GGUF file. `begin` and `end` count bytes from where the data of all tensors begin."""

    name: str
    kind: int
    begin: int
    end: int


_GGUF_FLOATS = {0: "F32", 1: "F16", 28: "F64", 30: "BF16"}
"""The types of tensors whose numbers can be read as they are.

The numbers of most other types are packed into blocks.
"""


def check_gguf(path: Path) -> None:
    """Check a GGUF file.

    Raises FlawError if it is not a GGUF file, has a version that is not read, is cut off or damaged, or holds NaN.
    """
    reader = _Reader(path)
    with reader.file:
        if reader.file.read(4) != b"GGUF":
            raise FlawError("it is no GGUF file: it does not begin with GGUF")
        version, tensors, values = reader.number("I"), reader.number("Q"), reader.number("Q")
        # Version 1 has lengths of 32 bits, so everything after a length would be read at a wrong place.
        if version not in {2, 3} or max(tensors, values) > _MOST:
            raise FlawError(f"it is a GGUF file of version {version}; versions 2 and 3 are read")
        alignment = 32
        for _ in range(values):
            key = reader.bytes_(reader.number("Q"))
            value = reader.skip_value(reader.number("I"))
            # A GGUF file may choose the alignment of its data. 32 is the default of the format.
            alignment = value if key == b"general.alignment" and value else alignment
        listed = [_tensor(reader) for _ in range(tensors)]
        end = max((tensor.end for tensor in listed), default=0)
        # Rounded up to the next multiple of the alignment.
        start = -(-reader.file.tell() // alignment) * alignment
    if start + end > reader.size:
        raise FlawError(f"it is cut off: {reader.size:,} bytes found, but its header names {start + end:,}")
    for tensor in listed:
        form = _GGUF_FLOATS.get(tensor.kind)
        if form is not None and _has_nan(path, form, start, [tensor.begin, tensor.end]):
            raise FlawError(f"the tensor {tensor.name!r} holds NaN, which is no number")


def _tensor(reader: _Reader) -> _Tensor:
    """Read what the header says about a tensor."""
    name = reader.bytes_(reader.number("Q")).decode(errors="replace")
    count, dimensions = 1, reader.number("I")
    # Without the bound, a damaged number would make the loop run through the whole file.
    if dimensions > _MOST_DIMENSIONS:
        raise FlawError(f"its header is damaged: the tensor {name[:80]!r} has {dimensions:,} dimensions")
    for _ in range(dimensions):
        count *= reader.number("Q")
    number = reader.number("I")
    # A type that is newer than the table counts as no bytes, because a whole file must not be called cut off.
    kind, begin = _GGUF_KINDS.get(number, _Kind(1, 0)), reader.number("Q")
    return _Tensor(name, number, begin, begin + count // kind.numbers * kind.size)
