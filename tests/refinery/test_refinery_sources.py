"""Where the data of a refinement comes from: data frames, and paths that cannot be read or written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from forms_data import as_jsonl
from refinement import CAP, COUNT, fake, refine, rows, settings, written

import burnish
from burnish.errors import ConfigError, DataError


def test_a_pandas_data_frame_is_refined(tmp_path: Path) -> None:
    pandas: Any = pytest.importorskip("pandas")
    pytest.importorskip("datasets")
    frame = pandas.DataFrame(rows()).set_index("id").sort_index(ascending=False)

    def once() -> Any:
        return burnish.refine(
            frame,
            model="builtin:strong",
            annotator="oracle:gold",
            rounds=1,
            alpha=0.1,
            differs="number",
            changes=["train.lora=null"],
            backend=fake(),
            out=tmp_path / "out",
            store=tmp_path / "store",
        )

    once()
    found = once()
    assert found.dataset.column_names == ["id", "question", "answer", "gold", "topic"]
    assert found.dataset["id"][:2] == ["row-59", "row-58"]
    assert sum(line.reason == "accepted" for line in found.ledger) == CAP
    assert len(list((tmp_path / "store" / "inputs").iterdir())) == 1


def test_a_data_frame_of_mixed_values_and_a_mapping_are_named(tmp_path: Path) -> None:
    pandas: Any = pytest.importorskip("pandas")
    mixed = pandas.DataFrame({"question": ["q", 1], "answer": ["a", "b"]})
    with pytest.raises(DataError, match=r"data: the DataFrame has no form as a table .* values of one type"):
        burnish.refine(mixed, model="builtin:strong", annotator="oracle:gold", out=tmp_path / "o", store=tmp_path / "s")
    with pytest.raises(ConfigError, match=r"data: dict found; give a path, .* or a pandas DataFrame"):
        burnish.refine({"question": ["q"]}, model="builtin:strong", annotator="oracle:gold", store=tmp_path / "s")


@pytest.mark.parametrize("name", ["pipe.jsonl", "a\0b.jsonl", "x" * 249 + ".jsonl", "y" * 300 + ".jsonl", "loop.jsonl"])
def test_a_path_of_data_that_cannot_be_read_or_is_long(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    source = tmp_path / name
    if name.startswith("x"):  # 255 bytes, the longest name that there is
        source.write_bytes(as_jsonl(rows()))
        assert refine(settings(source, rounds=1), tmp_path).summary.data.usable == COUNT
        return
    with pytest.raises(ConfigError, match=r"^data\.source: "):
        refine(settings(source), tmp_path)


def test_nothing_is_made_behind_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"out: .* is a link to a folder that does not exist; name another one"):
        refine(settings(written(tmp_path)), tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_row_that_is_too_deep_is_said_before_anything_is_spent(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    lines = as_jsonl(rows())[:-1] + b"\n" + json.dumps({**rows()[0], "id": "deep", "extra": deep}).encode()
    (tmp_path / "data.jsonl").write_bytes(lines)
    units: list[str] = []
    with pytest.raises(DataError, match=r"data\.jsonl:61: more than 100 lists and objects .* --on-bad-row skip"):
        refine(settings(tmp_path / "data.jsonl"), tmp_path, fake(units.append))
    assert units == []
    found = refine(settings(tmp_path / "data.jsonl", on_bad_row="skip", rounds=1), tmp_path)
    assert (found.out / "refined.jsonl").read_bytes().endswith(lines.splitlines()[-1])
