"""Files that survive a kill, and errors that name the line."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.errors import DataError, StageError, system_refusals
from burnish.store.depth import MAX_DEPTH
from burnish.store.files import (
    Appender,
    explained_write_errors,
    read_objects,
    read_rows,
    replacing,
    write_atomic,
    write_rows,
)
from burnish.types import Demonstration, DemonstrationSource, Example, Message, Role

ROW = Demonstration(example_id="a", completion="#### 1", source=DemonstrationSource.WEAK, producer="p", round=2)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    example = Example(
        id="1", group="g", prompt=(Message(role=Role.USER, content="ü\n"),), metadata={"a": [1, None, {"b": 0.5}]}
    )
    write_rows(tmp_path / "e.jsonl", [example])
    write_rows(tmp_path / "d.jsonl", [ROW, ROW])
    assert read_rows(tmp_path / "e.jsonl", Example) == [example]
    assert read_rows(tmp_path / "d.jsonl", Demonstration) == [ROW, ROW]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "x.jsonl:2: not JSON"),
        ("[1]", "x.jsonl:2: list found, each line must be one JSON object"),
        ('{"example_id":"a"}', "x.jsonl:2: completion: Field required"),
        ('{"example_id":"a","completion":"b","source":"weak","colour":1}', "x.jsonl:2: colour"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    write_rows(path, [ROW])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=message):
        read_rows(path, Demonstration)


def test_gzip_is_read_and_a_torn_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n\n{"a": 2}\n'))
    assert list(read_objects(path)) == [(1, {"a": 1}), (3, {"a": 2})]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="not a whole gzip file"):
        list(read_objects(path))


def test_a_torn_last_line_is_cut_off_and_whole_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with Appender(path) as out:
        out.append([ROW])
    path.write_bytes(path.read_bytes() + b'{"example_id":"b","comp')
    with Appender(path) as out:
        out.append([ROW])
    assert read_rows(path, Demonstration) == [ROW, ROW]


def test_an_atomic_write_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomic(path, b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["x"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "x"

    def write(text: bytes, killed: bool) -> bytes | None:
        """Return what a reader sees in the meantime."""
        with replacing(path) as file:
            file.write(text)
            seen = path.read_bytes() if path.exists() else None
            if killed:
                raise KeyboardInterrupt
        return seen

    assert write(b"one\n", killed=False) is None
    with pytest.raises(KeyboardInterrupt):
        write(b"two\n", killed=True)
    assert path.read_bytes() == b"one\n"
    assert write(b"two\n", killed=False) == b"one\n"
    assert path.read_bytes() == b"two\n"
    assert [item.name for item in path.parent.iterdir()] == ["x"]


def test_an_atomic_write_goes_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "old", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(item.name for item in (tmp_path / "there").iterdir()) == ["old"]


def test_the_target_of_a_dangling_link_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "new")
    with pytest.raises(StageError, match=r"link: is a link to '.*new', which is not there; remove it"):
        write_atomic(link, b"new")
    with pytest.raises(StageError, match="which is not there"):
        Appender(link)
    assert link.is_symlink()
    assert list((tmp_path / "there").iterdir()) == []


def test_a_file_beyond_the_largest_size_says_what_to_do(tmp_path: Path) -> None:
    message = r"larger than the disk or a limit of this shell allows; raise the limit"
    with pytest.raises(StageError, match=message), explained_write_errors(tmp_path / "f"):
        raise OSError(errno.EFBIG, "File too large")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "pipe"])
def test_a_path_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no such file; check the path"):
        list(read_objects(tmp_path / name))


def nested(levels: int) -> bytes:
    """Return an object in which lists make up the other levels."""
    return b'{"x": %s%s}' % (b"[" * (levels - 1), b"]" * (levels - 1))


def test_rows_are_read_up_to_a_depth(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(nested(MAX_DEPTH) + b"\n" + b'{"x": [%s]}' % b",".join([b"[]"] * 500))
    assert len(list(read_objects(path))) == 2
    path.write_bytes(b"{}\n" + nested(MAX_DEPTH + 1))
    with pytest.raises(DataError, match=r"d\.jsonl:2: more than 100 lists and objects inside one another; flatten"):
        list(read_objects(path))


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "link", "pipe"):
        with pytest.raises(StageError, match=r"no ordinary file .* name another one"):
            write_atomic(tmp_path / name, b"new")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["folder", "link", "pipe"]
    assert (tmp_path / "folder").is_dir()
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_says_what_to_do() -> None:
    with pytest.raises(StageError, match=r"no space left .*burnish gc"):
        write_rows(Path("/dev/full"), [ROW])


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EDQUOT, "quota"),
        # As safetensors, tokenizers and PyTorch's C++ writer say it.
        RuntimeError('Error while serializing: IoError(Os { code: 28, message: "No space left on device" })'),
        Exception("I/O error: No space left on device (os error 28)"),
        ValueError("write failed: os error 28"),
    ],
)
def test_a_full_disk_is_known_by_number_or_words(error: Exception) -> None:
    with (
        pytest.raises(StageError, match=r"^x: no space left .*finished work is kept") as caught,
        explained_write_errors(Path("x")),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("os error 2"), RuntimeError("out of memory"), KeyError("28")])
def test_other_errors_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, explained_write_errors(Path("x")):
        raise error
    assert caught.value is error


def test_an_error_that_says_what_to_do_is_not_said_again() -> None:
    error = DataError("row 3: No space left on device is no number")
    with pytest.raises(DataError) as caught, explained_write_errors(Path("x")):
        raise error
    assert caught.value is error


def test_a_refusal_is_about_the_place_that_was_to_be_written(tmp_path: Path) -> None:
    place = tmp_path / "store" / "work"
    place.parent.mkdir()
    with (
        pytest.raises(StageError, match=r"cannot be written .*another --store or --out"),
        explained_write_errors(place),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", str(place / "rows.jsonl"))
    with pytest.raises(FileNotFoundError), explained_write_errors(place):
        raise FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "data" / "train.jsonl"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StageError, match="cannot be written"):
        write_atomic(tmp_path / "file" / "x", b"new")
    assert (tmp_path / "file").read_text() == "mine"


def test_other_operating_system_errors_pass_through() -> None:
    with pytest.raises(FileNotFoundError), explained_write_errors(Path("x")):
        raise FileNotFoundError


def test_a_file_that_may_not_grow_says_what_to_do(tmp_path: Path) -> None:
    """`ulimit -f` makes a write fail with EFBIG; Python ignores the signal that comes with it."""
    code = f"""
import resource
from pathlib import Path
from burnish.errors import StageError
from burnish.store.files import write_rows
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_rows(Path({str(tmp_path / "rows.jsonl")!r}), [{{"a": "x" * 100}}] * 1000)
except StageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "larger than the disk or a limit of this shell allows" in done.stdout


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000), "File name too long; check the name"),
        (PermissionError(errno.EACCES, "Permission denied", "secret"), "'secret': Permission denied; check"),
        (OSError(errno.EFBIG, "File too large"), "File too large; free space or raise the limit"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; free space or raise the limit"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), "half a character"),
    ],
)
def test_what_the_system_refuses_is_an_error_of_ours(error: Exception, words: str) -> None:
    with pytest.raises(StageError, match=words) as raised, system_refusals():
        raise error
    assert len(str(raised.value)) < 500


def test_other_errors_are_not_taken_for_refusals() -> None:
    with pytest.raises(StageError, match=r"Symlink loop.*links lead to one another"), system_refusals():
        raise RuntimeError("Symlink loop from '/a/b'")  # as Path.resolve does in Python 3.11
    with pytest.raises(RuntimeError, match="other"), system_refusals():
        raise RuntimeError("other")
    with pytest.raises(FileNotFoundError), system_refusals():
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")
    with pytest.raises(UnicodeEncodeError), system_refusals():
        "ü".encode("ascii")
