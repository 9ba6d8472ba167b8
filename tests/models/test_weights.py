"""Files of weights: whole ones pass, and damaged ones are named with what is wrong."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from weights_files import gguf, safetensors

from burnish.models.weights import FlawError, check_gguf, check_pickle, check_safetensors


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64"])
def test_nan_is_told_from_infinity_in_every_format(tmp_path: Path, dtype: str) -> None:
    form = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]
    fine = np.array([0, -1, np.inf, -np.inf, 6e4], dtype=form)
    check_safetensors(safetensors(tmp_path / "a", dtype, fine.tobytes()))
    for nan in (np.nan, -np.nan):
        with pytest.raises(FlawError, match="'w' holds NaN"):
            check_safetensors(safetensors(tmp_path / "b", dtype, np.append(fine, nan).astype(form).tobytes()))


def test_nan_in_bfloat16(tmp_path: Path) -> None:
    """Infinity is 0x7f80; NaN is what lies above it, with either sign."""
    check_safetensors(safetensors(tmp_path / "a", "BF16", struct.pack("<3H", 0x3F80, 0x7F80, 0xFF80)))
    for nan in (0x7F81, 0xFFC0):
        with pytest.raises(FlawError, match="NaN"):
            check_safetensors(safetensors(tmp_path / "b", "BF16", struct.pack("<2H", 0x3F80, nan)))
    check_safetensors(safetensors(tmp_path / "c", "I64", b"\xff" * 16))  # whole numbers have no NaN


def test_both_forms_of_pickled_weights_pass_and_are_not_unpickled(tmp_path: Path) -> None:
    (tmp_path / "old.bin").write_bytes(pickle.dumps({"w": 1}))
    with zipfile.ZipFile(tmp_path / "new.bin", "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02.")
    for name in ("old.bin", "new.bin"):
        check_pickle(tmp_path / name)
    data = (tmp_path / "new.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(data[: len(data) // 2])
    with pytest.raises(FlawError, match="no file that torch wrote, or it is cut off"):
        check_pickle(tmp_path / "cut.bin")


def test_a_gguf_file_is_whole_to_its_last_byte(tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf")
    check_gguf(path)
    data = path.read_bytes()
    for left in range(0, len(data), 7):
        path.write_bytes(data[:left])
        with pytest.raises(FlawError, match=r"it is cut off|it is no GGUF file"):
            check_gguf(path)
    path.write_bytes(data[:-1])
    with pytest.raises(FlawError, match=f"{len(data) - 1:,} bytes found, but its header names {len(data):,}"):
        check_gguf(path)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    with pytest.raises(FlawError, match="GGUF file of version 1"):
        check_gguf(path)


def test_nan_in_a_gguf_file(tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf")
    data = path.read_bytes()
    path.write_bytes(data[:-4] + np.float32(np.inf).tobytes())
    check_gguf(path)
    path.write_bytes(data[:-4] + np.float32(np.nan).tobytes())
    with pytest.raises(FlawError, match="the tensor 'w' holds NaN, which is no number"):
        check_gguf(path)


OFFSETS: list[Any] = [["x", 4], [None, 4], [0, 4.5], [0, "4"], [-100, 4], [4, 0], [0], [0, 4, 8], {}, True]
STORED: list[Any] = [
    *({"dtype": "F32", "data_offsets": offsets} for offsets in OFFSETS),
    {"dtype": [], "data_offsets": [0, 4]},
    {"data_offsets": [0, 4]},
    [],
]


@pytest.mark.parametrize("stored", STORED)
def test_a_damaged_header_is_a_flaw(tmp_path: Path, stored: Any) -> None:
    path, header = tmp_path / "m.safetensors", json.dumps({"w": stored}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    with pytest.raises(FlawError, match="its header cannot be read"):
        check_safetensors(path)


def test_more_dimensions_than_a_tensor_can_have_are_a_flaw(tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf")
    data = path.read_bytes()
    # The number of dimensions follows the name of the only tensor.
    at = data.index(struct.pack("<Q", 1) + b"w") + 9
    path.write_bytes(data[:at] + struct.pack("<I", 1026) + data[at + 4 :])
    with pytest.raises(FlawError, match="the tensor 'w' has 1,026 dimensions"):
        check_gguf(path)


def test_arrays_inside_arrays_are_a_flaw(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    nested = struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + nested)
    with pytest.raises(FlawError, match="more than 8 arrays inside one another"):
        check_gguf(path)
