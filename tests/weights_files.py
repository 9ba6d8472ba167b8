"""Small files of weights, for tests of what is wrong with them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np


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
