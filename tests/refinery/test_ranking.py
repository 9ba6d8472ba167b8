"""`burnish rank`: suspicious labels are listed before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from refinement import COUNT, WRONG_LABELS, fake, noisy, right, rows, written

from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.inputs import context
from burnish.store.stages import Store

SMALL = ("--set=decode.beams=1", "--set=decode.max_new_tokens=8")


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put the fake backend in the real one's place, and return the names of the units that it did."""
    units: list[str] = []

    def opener_of(*_: object) -> Callable[[], FakeBackend]:
        return lambda: fake(units.append)

    monkeypatch.setattr(context, "opener_of", opener_of)
    return units


def call(data: Path, where: Path, *arguments: str) -> Result:
    store = ("--store", str(where / "store"), "--differs", "number")
    return CliRunner().invoke(main, ["rank", str(data), *store, *arguments])


def ranked(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_texts_alone_find_contradictions_and_labels_without_an_answer(tmp_path: Path, backend: list[str]) -> None:
    twice = [{**rows()[0], "id": "again", "answer": "#### 987654"}]
    bare = [{**rows()[1], "id": "bare", "question": "How many?", "answer": "I do not know"}]
    data = written(tmp_path, [*rows(), *twice, *bare])
    result = call(data, tmp_path, "--out", str(tmp_path / "all.jsonl"), "--reference", "gold")
    assert result.exit_code == 0, result.output
    found = ranked(tmp_path / "all.jsonl")
    assert len(found) == COUNT + 2
    assert {row["id"]: row["signs"] for row in found if row["score"]} == {
        "row-00": {"contradicted": 0.5},
        "again": {"contradicted": 0.5},
        "bare": {"no_answer": 0.9, "no_end": 0.5},
    }
    assert [row["id"] for row in found[:3]] == ["bare", "row-00", "again"]
    assert "3 rows of 62 with a sign that the label is wrong" in result.stdout
    assert not backend
    assert not (tmp_path / "store").exists()  # without a model nothing is computed


def test_a_model_that_is_not_trained_puts_wrong_labels_first(tmp_path: Path, backend: list[str]) -> None:
    data = written(tmp_path)
    arguments = ("--model", "builtin:strong", *SMALL, "--annotator", "oracle:gold", "--json", "--top", "24")
    result = call(data, tmp_path, *arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    questions = {row["id"]: row["question"] for row in rows()}
    known = [right(questions[row["id"]], row["own"]) for row in found["rows"] if row["score"] == 1.0]
    assert known
    assert all(known)  # an oracle prefers a right answer to a wrong label, and is sure of it
    assert found["wrong"]["value"] == pytest.approx(WRONG_LABELS / COUNT)
    assert found["precision"]["20"]["n"] == 20
    top = [row["id"] for row in found["rows"][:20]]
    wrong = sum(noisy(int(id_.removeprefix("row-"))) for id_ in top)
    assert found["precision"]["20"]["value"] == pytest.approx(wrong / 20)
    assert not [unit for unit in backend if unit.startswith("train")]


def test_a_model_alone_ranks_by_what_it_finds_more_likely(tmp_path: Path, backend: list[str]) -> None:
    data, out = written(tmp_path), tmp_path / "all.jsonl"
    result = call(data, tmp_path, "--model", "builtin:strong", *SMALL, "--out", str(out))
    assert result.exit_code == 0, result.output
    found = ranked(out)
    assert {sign for row in found for sign in row["signs"]} == {"model"}
    scores = [row["score"] for row in found]
    assert scores == sorted(scores, reverse=True)
    assert {done.name for done in Store(tmp_path / "store").every()} == {"given", "base", "answer", "score"}
    # The second call finds everything in the store.
    before = len(backend)
    again = call(data, tmp_path, "--model", "builtin:strong", *SMALL, "--json")
    assert again.exit_code == 0, again.output
    assert len(backend) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotator", "oracle:gold"], "--annotator: it compares the labels with a model's answers"),
        (["--out", "data.jsonl"], "'data.jsonl' is there already; name another file, or remove it"),
        (["--reference", "golden"], "golden"),
        (["--model", "builtin:nobody"], "builtin:nobody"),
    ],
)
def test_what_cannot_work_is_an_error_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: list[str], arguments: list[str], message: str
) -> None:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "data.jsonl").read_bytes()
    result = call(Path("data.jsonl"), tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "data.jsonl").read_bytes() == before
    assert not backend
