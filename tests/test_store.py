"""Files that survive a kill, and errors that name the line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from burnish.errors import DataError, StageError
from burnish.store import Appender, full_disk, read_objects, read_rows, write_atomic, write_rows
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_says_what_to_do() -> None:
    with pytest.raises(StageError, match=r"no space left .*burnish gc"):
        write_rows(Path("/dev/full"), [ROW])


def test_other_operating_system_errors_pass_through() -> None:
    with pytest.raises(FileNotFoundError), full_disk(Path("x")):
        raise FileNotFoundError
