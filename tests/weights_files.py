"""Small files of weights, for tests of what is wrong with them."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np

from burnish.models.location import EMBEDDED


def safetensors(path: Path, dtype: str, data: bytes) -> Path:
    """Write one tensor."""
    numbers = len(data) // {"F32": 4, "BF16": 2, "F16": 2, "F64": 8, "I64": 8}[dtype]
    header = json.dumps({"w": {"dtype": dtype, "shape": [numbers], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def gguf(path: Path, numbers: int = 64) -> Path:
    """Write a GGUF file of one tensor of 32-bit numbers, with a text, a list of texts and an alignment as values."""

    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    values = text(b"general.name") + struct.pack("<I", 8) + text(b"tiny")
    values += text(b"tokens") + struct.pack("<IIQ", 9, 8, 2) + text(b"a") + text(b"b")
    values += text(b"general.alignment") + struct.pack("<II", 4, 64)
    tensor = text(b"w") + struct.pack("<IQIQ", 1, numbers, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 3) + values + tensor
    path.write_bytes(head + b"\0" * (-len(head) % 64) + np.ones(numbers, dtype="<f4").tobytes())
    return path


def with_head(folder: Path) -> str:
    """Copy a built-in model, and add a head with one number, which is not trained. Return the folder as a config names
    it."""
    shutil.copytree(EMBEDDED / "strong", folder)
    path = folder / "model.safetensors"
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    header["score.weight"] = {"dtype": "F32", "shape": [1, 1], "data_offsets": [len(body), len(body) + 4]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body + bytes(4))
    return str(folder)
