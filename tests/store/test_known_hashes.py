"""Hashes that are remembered: when a file is read again, and what cannot be trusted."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment import small

from burnish.inputs import models
from burnish.lab.inputs import resolve
from burnish.lab.running import plan
from burnish.store import known_hashes
from burnish.store.files import checksum
from burnish.store.identity import of_files
from burnish.store.known_hashes import HASHES, SETTLED_NS, SMALLEST, KnownHashes

LATER = 3 * SETTLED_NS


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, in their order."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return checksum(path)

    monkeypatch.setattr(known_hashes, "checksum", counted)
    return names


def later() -> int:
    return time.time_ns() + LATER


def large(path: Path, start: bytes = b"a") -> Path:
    path.write_bytes(start * SMALLEST)
    return path


def sum_of(data: bytes) -> str:
    return hashlib.sha256(data * SMALLEST).hexdigest()


def test_a_large_file_is_read_once(tmp_path: Path, read: list[str]) -> None:
    file = large(tmp_path / "weights")
    for _ in range(2):  # also by another process, which has nothing in memory
        known = KnownHashes(tmp_path / HASHES, clock=later)
        assert known.checksum(file) == known.checksum(file) == sum_of(b"a")
    assert read == ["weights"]


def test_a_small_file_is_not_remembered(tmp_path: Path, read: list[str]) -> None:
    (tmp_path / "config.json").write_text("{}")
    known = KnownHashes(tmp_path / HASHES, clock=later)
    assert known.checksum(tmp_path / "config.json") == known.checksum(tmp_path / "config.json")
    assert read == ["config.json"] * 2
    assert not (tmp_path / HASHES).exists()


def rewritten(file: Path) -> None:
    """Other bytes of the same size, and another time."""
    time.sleep(0.01)
    large(file, b"b")


def set_back(file: Path) -> None:
    """As `rewritten`, and the time of the last write is set back, as some programs that copy files do."""
    status = file.stat()
    rewritten(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns


def replaced(file: Path) -> None:
    """Another file under the same name, with the same size and times of reading and writing."""
    status = file.stat()
    other = large(file.with_name("other"), b"b")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    assert file.stat().st_ino != status.st_ino


def longer(file: Path) -> None:
    with file.open("ab") as out:
        out.write(b"b")


@pytest.mark.parametrize("change", [rewritten, set_back, replaced, longer])
def test_a_changed_file_is_read_again(tmp_path: Path, read: list[str], change: Callable[[Path], None]) -> None:
    file = large(tmp_path / "weights")
    known = KnownHashes(tmp_path / HASHES, clock=later)
    known.checksum(file)
    change(file)
    for again in (known, KnownHashes(tmp_path / HASHES, clock=later)):
        assert again.checksum(file) == checksum(file)
    assert read == ["weights"] * 2


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, read: list[str]) -> None:
    """A write soon after it could leave the same time."""
    file = large(tmp_path / "weights")
    written = file.stat().st_ctime_ns
    for _ in range(2):
        KnownHashes(tmp_path / HASHES, clock=lambda: written + SETTLED_NS).checksum(file)
    KnownHashes(tmp_path / HASHES, clock=lambda: written + SETTLED_NS + 1).checksum(file)
    assert len(read) == 3
    KnownHashes(tmp_path / HASHES, clock=lambda: written).checksum(file)
    assert len(read) == 3


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = large(tmp_path / "weights")

    def changing(path: Path) -> str:
        found = checksum(path)
        rewritten(path)
        return found

    with monkeypatch.context() as during:
        during.setattr(known_hashes, "checksum", changing)
        KnownHashes(tmp_path / HASHES, clock=later).checksum(file)
    assert not (tmp_path / HASHES).exists()
    assert KnownHashes(tmp_path / HASHES, clock=later).checksum(file) == sum_of(b"b")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"/a": 1}', b'{"/a": [[1, 2, 3, 4], "no hash"]}', b"\xff"])
def test_a_damaged_memory_counts_as_none(tmp_path: Path, read: list[str], text: bytes) -> None:
    (tmp_path / HASHES).write_bytes(text)
    file = large(tmp_path / "weights")
    for _ in range(2):
        assert KnownHashes(tmp_path / HASHES, clock=later).checksum(file) == sum_of(b"a")
    assert read == ["weights"]


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, and no folder")
    known = KnownHashes(tmp_path / "store" / HASHES, clock=later)
    assert known.checksum(large(tmp_path / "weights")) == sum_of(b"a")


def test_two_processes_add_to_one_memory(tmp_path: Path, read: list[str]) -> None:
    one, two = (KnownHashes(tmp_path / HASHES, clock=later) for _ in range(2))
    files = [large(tmp_path / "a"), large(tmp_path / "b", b"b"), large(tmp_path / "c", b"c")]
    one.checksum(files[0])
    two.checksum(files[1])
    one.checksum(files[2])
    assert list(json.loads((tmp_path / HASHES).read_bytes())) == [str(file) for file in files]
    assert [KnownHashes(tmp_path / HASHES).checksum(file) for file in files] == [checksum(file) for file in files]
    assert read == ["a", "b", "c"]


def test_the_oldest_files_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_hashes, "MOST", 2)
    known = KnownHashes(tmp_path / HASHES, clock=later)
    for name in ("c", "a", "b"):
        known.checksum(large(tmp_path / name))
    assert list(json.loads((tmp_path / HASHES).read_bytes())) == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_the_identity_is_the_same_with_a_memory(tmp_path: Path, read: list[str]) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    files = [large(folder / "weights"), folder / "config.json"]
    files[1].write_text("{}")
    for paths in ([folder], files):
        for _ in range(2):
            assert of_files(paths, KnownHashes(tmp_path / HASHES, clock=later)) == of_files(paths)
    assert read.count("weights") == 1


def test_a_dry_run_remembers_nothing_and_uses_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_hashes, "SMALLEST", 1)
    monkeypatch.setattr(known_hashes, "SETTLED_NS", -(10**18))
    models.content_of.cache_clear()
    plan(small(), tmp_path / "store")
    assert not (tmp_path / "store").exists()
    resolve(small(), offline_ok=False, known=KnownHashes(tmp_path / "store" / HASHES))
    stored = json.loads((tmp_path / "store" / HASHES).read_bytes())
    assert any(name.endswith("model.safetensors") for name in stored)

    def refuse(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(known_hashes, "checksum", refuse)
    plan(small(), tmp_path / "store")
