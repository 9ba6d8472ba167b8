"""`burnish.refine` from Python: data in memory, what it returns, and what it says of wrong arguments."""

from __future__ import annotations

import inspect
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest
from refinement import CAP, COUNT, WRONG_LABELS, answer_in, fake, label, right, rows, written

import burnish
from burnish.errors import ConfigError, DataError
from burnish.ledger.summary import State
from burnish.refinery.api import Refined
from burnish.types import Reason

datasets: Any = pytest.importorskip("datasets")


def refined(data: Any, where: Path, **options: Any) -> Refined:
    """Refine as a user's script does."""
    given: dict[str, Any] = {
        "annotator": "oracle:gold",
        "alpha": 0.1,
        "differs": "number",
        "changes": ["train.lora=null"],
        "backend": fake(),
        **options,
    }
    return burnish.refine(data, model="builtin:strong", out=where / "out", store=where / "store", **given)


def in_memory(kind: str, where: Path, form: str = "question") -> Any:
    match kind:
        case "path":
            return written(where, rows(form))
        case "text":
            return str(written(where, rows(form), ".parquet"))
        case "rows":
            return rows(form)
        case "generator":
            return (dict(row) for row in rows(form))
        case _:
            return datasets.Dataset.from_list(rows(form))


@pytest.mark.parametrize("kind", ["path", "text", "rows", "generator", "dataset"])
def test_data_from_anywhere_comes_back_better(tmp_path: Path, kind: str) -> None:
    found = refined(in_memory(kind, tmp_path), tmp_path)
    data = found.dataset
    assert isinstance(data, datasets.Dataset)
    assert data.column_names == list(rows()[0])
    assert [row["id"] for row in data] == [row["id"] for row in rows()]
    assert [row["topic"] for row in data] == [row["topic"] for row in rows()]
    assert sum(right(row["question"], row["answer"]) for row in data) == COUNT - WRONG_LABELS + 2 * CAP
    assert len(found.ledger) == 2 * COUNT
    assert sum(line.reason is Reason.ACCEPTED for line in found.ledger) == 2 * CAP
    assert found.model == tmp_path / "out" / "model"
    assert (tmp_path / "out" / "model").is_dir()
    assert (found.out, found.summary.state) == (tmp_path / "out", State.DONE)
    assert len(repr(found)) < 1000


@pytest.mark.parametrize("form", ["text", "alpaca", "messages"])
def test_a_dataset_keeps_its_features(tmp_path: Path, form: str) -> None:
    given = in_memory("dataset", tmp_path, form)
    found = refined(given, tmp_path, rounds=1)
    assert found.dataset.features == given.features
    assert [answer_in(row) for row in found.dataset] != [label(i) for i in range(COUNT)]


def test_a_part_of_a_dataset_is_what_is_refined(tmp_path: Path) -> None:
    given = datasets.Dataset.from_list(rows()).select(range(59, 19, -1))
    found = refined(given, tmp_path, rounds=1)
    assert found.dataset["id"][:] == given["id"][:]
    assert found.summary.data.rows == 40


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rows", "dataset"])
def test_the_same_call_goes_on(tmp_path: Path, kind: str) -> None:
    units: list[str] = []
    refined(in_memory(kind, tmp_path), tmp_path, rounds=1)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    refined(in_memory(kind, tmp_path), tmp_path, rounds=1, backend=fake(units.append))
    assert units == []
    assert {path: path.read_bytes() for path in before} == before
    refined(in_memory(kind, tmp_path), tmp_path, backend=fake(units.append))
    assert units.count("train") == 3


@pytest.mark.slow
def test_the_command_line_and_python_do_the_same(tmp_path: Path) -> None:
    from refinement import refine, settings

    source = written(tmp_path)
    by_config = refine(settings(source), tmp_path / "a")
    options = ["decode.beams=1", "decode.max_new_tokens=8", "train.lora=null"]
    refined(source, tmp_path / "b", changes=options)
    for name in ("ledger.jsonl", "answers.jsonl", "refined.jsonl", "refinement.json"):
        assert (tmp_path / "b" / "out" / name).read_bytes() == (by_config.out / name).read_bytes()


# --- rows that make trouble for tables


def test_skipped_lines_that_are_no_json_do_not_lose_the_result(tmp_path: Path) -> None:
    source = written(tmp_path)
    source.write_bytes(b'{"question": NaN, "answer": "1"}\nno json\n' + source.read_bytes())
    found = refined(source, tmp_path, on_bad_row="skip", rounds=1)
    assert found.summary.data.skipped == 2
    assert [row["id"] for row in found.dataset if row["id"]] == [row["id"] for row in rows()]


def test_columns_that_the_first_row_lacks_are_there(tmp_path: Path) -> None:
    data = [row | ({"late": i} if i == 5 else {}) for i, row in enumerate(rows())]
    found = refined(data, tmp_path, rounds=1)
    assert found.dataset.column_names == [*rows()[0], "late"]
    assert found.dataset["late"][4:7] == [None, 5, None]


def test_a_csv_cell_may_be_long_and_hold_line_ends(tmp_path: Path) -> None:
    data = [row | {"topic": 'a "quoted"\r\ncell; ' * 20_000 if i == 3 else "t"} for i, row in enumerate(rows())]
    found = refined(written(tmp_path, data, ".csv"), tmp_path, rounds=1)
    assert found.dataset["topic"][3] == data[3]["topic"]
    assert found.dataset.column_names == list(data[0])


def test_a_csv_of_a_spreadsheet_has_its_columns(tmp_path: Path) -> None:
    source = tmp_path / "data.csv"
    lines = [f"{row['question']}\t{row['answer']}\t{row['gold']}" for row in rows()]
    source.write_text("\ufeff" + "\n".join(["question\tanswer\tgold", *lines]))
    found = refined(source, tmp_path, rounds=1)
    assert found.dataset.column_names == ["question", "answer", "gold"]
    assert len(found.dataset) == COUNT


def test_values_of_several_types_in_a_column(tmp_path: Path) -> None:
    data = [row | {"topic": i if i % 2 else f"t{i}"} for i, row in enumerate(rows())]
    found = refined(written(tmp_path, data), tmp_path, rounds=1)
    assert [row["topic"] for row in found.dataset] == [str(row["topic"]) for row in data]


# --- names


def test_no_verb_is_hidden_by_a_module_of_its_name() -> None:
    from burnish import backends

    functions = [name for name, value in vars(backends).items() if inspect.isfunction(value)]
    assert "rendered" in functions
    for package, names in ((burnish, burnish.__all__), (backends, functions)):
        modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
        assert modules.isdisjoint(names)


# --- wrong arguments


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"round": 3}, "burnish.refine: .*'round'.*; see burnish.refinery.options"),
        ({"alpha": 2}, "alpha: 2 found"),
        ({"rounds": 0}, "rounds: 0 found"),
        ({"annotator": None}, "annotator: none is given, but ilr needs one"),
        ({"annotator": "nobody"}, "annotator: there is no file 'nobody'"),
        ({"annotator": {"kind": "oracle"}}, r"^refine:\nannotator\.column: none is given"),
        ({"annotator": "oracle:"}, "annotator: 'oracle:' found; write oracle:COLUMN"),
        ({"differs": "feeling"}, "differs: 'feeling' found; write text, number"),
        ({"method": "dpo"}, r"method\.kind: 'dpo' found; choose one of"),
        ({"max_calls": -1}, "max-calls: -1 found"),
        ({"checker": "x"}, "checker: 'x' is not used by ilr"),
        ({"template": "nowhere.jinja"}, "template: 'nowhere.jinja' cannot be read"),
        ({"audit": 0}, "audit.size: 0 found"),
        ({"max_harm": 2}, "audit.max_harm: 2 found"),
        ({"audit_by": "likelihood:builtin:weak"}, "audit.by"),
        ({"changes": ["train.epoch=1"]}, "train.epoch: no such field"),
        ({"changes": ["train"]}, "--set 'train': write a.b=c"),
        ({"on_bad_row": "drop"}, "on_bad_row: 'drop' found"),
    ],
)
def test_a_wrong_option_names_field_value_and_fix(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        refined(rows(), tmp_path, **options)
    assert not (tmp_path / "out").exists()


def test_data_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data: int found; give a path, a hub id, a datasets.Dataset or rows"):
        refined(7, tmp_path)
    with pytest.raises(DataError, match="data: row 1 is str; each row must be a mapping of columns"):
        refined([rows()[0], "row"], tmp_path)
    with pytest.raises(DataError, match="no rows"):
        refined([], tmp_path)
    with pytest.raises((ConfigError, DataError), match="data"):
        refined([{"question": "?", "answer": object()}], tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        refined(tmp_path / "none.jsonl", tmp_path)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model: './nowhere' does not exist"):
        burnish.refine(
            rows(), model="./nowhere", annotator="oracle:gold", out=tmp_path / "out", store=tmp_path / "store"
        )


@pytest.mark.slow
def test_what_is_in_memory_is_kept_once(tmp_path: Path) -> None:
    for _ in range(2):
        refined(rows(), tmp_path, rounds=1)
    (kept,) = (tmp_path / "store" / "inputs").iterdir()
    assert [json.loads(line) for line in kept.read_text().splitlines()] == rows()
