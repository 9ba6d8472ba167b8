"""study import: pairs and answers that were exported from Label Studio and Argilla."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from burnish.cli import main as cli
from burnish.config.study import StudyKind
from burnish.errors import ConfigError, DataError
from burnish.people.labelled.judged_pairs import PairLayout
from burnish.people.labelled.taking import TakenAnswers, answer_waiting, read_judged, write_imported
from burnish.people.mailbox import Annotation, Ask, Mailbox, Purpose, Said
from burnish.people.study.intake import read_items
from burnish.store.files import read_rows
from burnish.types import Order

FIXTURES = Path(__file__).parents[1] / "fixtures" / "labelled"
PLAIN = PairLayout(columns={})


def said(folder: Path) -> list[tuple[str, Said, int | None, str]]:
    return [(one.id, one.said, one.value, one.note) for one in read_rows(folder / "annotations.jsonl", Annotation)]


def test_label_studio(tmp_path: Path) -> None:
    """Three tasks: two annotators of which one skipped, a rating with a note, and a task that nobody judged."""
    pairs = read_judged(FIXTURES / "label_studio.json", PairLayout(columns={"first": "text1", "second": "text2"}))
    assert write_imported(pairs, tmp_path) == TakenAnswers(pairs=3, answers=3)
    assert said(tmp_path) == [
        ("1", Said.FIRST, None, ""),
        ("1", Said.ABSTAIN, None, ""),
        ("2", Said.SECOND, 2, "the first one stops early"),
    ]
    annotations = read_rows(tmp_path / "annotations.jsonl", Annotation)
    assert annotations[2].confidence == pytest.approx(2 / 3)
    # Nobody can tell from a name who it is, and one person has one name.
    assert "ann@example.org" not in (tmp_path / "annotations.jsonl").read_text()
    assert annotations[0].by == annotations[2].by != annotations[1].by
    items = read_items(tmp_path / "pairs.jsonl", StudyKind.COMPARISONS, None, 0)
    assert next((one.name, one.prompt, one.a, one.b) for one in items) == (
        "1",
        "What is the capital of France?",
        "Paris.",
        "Lyon.",
    )


def test_argilla(tmp_path: Path) -> None:
    """A label, a ranking and a rating question; a draft does not count; a text question is the note."""
    pairs = read_judged(FIXTURES / "argilla.json", PairLayout(columns={}, question="preference"))
    assert write_imported(pairs, tmp_path) == TakenAnswers(pairs=3, answers=4)
    assert said(tmp_path) == [
        ("q1", Said.SECOND, None, "shorter"),
        ("q1", Said.TIE, None, ""),
        ("q2", Said.FIRST, None, ""),
        ("q3", Said.FIRST, -3, ""),
    ]
    labels = (tmp_path / "labels.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in labels] == ["B", "tie", "A", "A"]


def test_a_question_must_be_named_if_there_are_several() -> None:
    with pytest.raises(
        DataError, match=r"record 1: several questions .* \(preference, safe\); name one with --question"
    ):
        read_judged(FIXTURES / "argilla.json", PLAIN)


def waiting(folder: Path) -> Path:
    folder.mkdir()
    ask = Ask(
        id="compare-1",
        purpose=Purpose.COMPARE,
        comparison_id="1",
        example_id="r1",
        request="What is the capital of France?",
        first="Lyon.",
        second="Paris.",
        shown=Order.AB,
    )
    Mailbox(folder).ask([ask])
    return folder


def task(**data: str) -> dict[str, Any]:
    texts = {"prompt": "What is the capital of France?", "text1": "Paris.", "text2": "Lyon."}
    region = {"from_name": "pw", "to_name": "pw", "type": "pairwise", "value": {"selected": "left"}}
    annotation = {"id": 1, "completed_by": 7, "result": [region], "was_cancelled": False}
    return {"id": 9, "data": texts | data, "annotations": [annotation], "predictions": []}


def written(path: Path, *rows: Any) -> Path:
    path.write_text(json.dumps(list(rows)))
    return path


def test_answers_go_to_the_refinement_that_waits_also_if_the_sides_were_swapped(tmp_path: Path) -> None:
    folder = waiting(tmp_path / "refined")
    pairs = read_judged(written(tmp_path / "ls.json", task()), PLAIN)
    assert answer_waiting(pairs, folder) == TakenAnswers(pairs=1, answers=1)
    assert answer_waiting(pairs, folder) == TakenAnswers(pairs=1, answers=0)
    ((kept,),) = Mailbox(folder).said().values()
    # The tool showed Paris first, which is the second answer of the pair: swapped, and the first one was preferred.
    assert (kept.id, kept.said, kept.shown) == ("compare-1", Said.FIRST, Order.BA)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"prompt": "Where?"}, "no pair 'Where\\?' waits there"),
        ({"pair": "compare-1", "text1": "Paris!"}, "the pair 'compare-1' has other answers in the file than here"),
    ],
)
def test_answers_to_other_pairs_are_refused(tmp_path: Path, data: dict[str, str], message: str) -> None:
    folder = waiting(tmp_path / "refined")
    with pytest.raises(DataError, match=message):
        answer_waiting(read_judged(written(tmp_path / "ls.json", task(**data)), PLAIN), folder)
    assert Mailbox(folder).said() == {}


def changed(**region: Any) -> dict[str, Any]:
    row = task()
    row["annotations"][0]["result"][0] |= region
    return row


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": 1}, r"ls.json record 1: is neither a task of Label Studio .* but has 'a'"),
        (3, r"ls.json record 1: int found"),
        (task(text2=""), r"record 1: no text for the second of the pair .*--column second=NAME"),
        (changed(value={"selected": "middle"}), r"record 1 annotation 1: the label 'middle' cannot be read"),
        (changed(value={"labels": []}), r"annotation 1: the value .* is no choice of one of two answers"),
        (changed(type="rating", value={"rating": 8}), r"annotation 1: the rating 8 is not a whole number from 1 to 7"),
        (task() | {"annotations": [{"id": 1}]}, r"annotation 1: has no `result`"),
        (
            {"fields": {"prompt": "q", "first": "x", "second": "y"}, "responses": {"p": [{"value": "a"}]}},
            r"a response to 'p' has no value or no user_id",
        ),
        (
            {"fields": {"prompt": "q", "first": "x", "second": "y"}, "responses": {"p": {"value": "a"}}},
            r"the responses to 'p' are no list",
        ),
    ],
)
def test_a_record_that_is_wrong_is_named(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_judged(written(tmp_path / "ls.json", row), PLAIN)


@pytest.mark.parametrize(
    ("text", "message"), [("{}", "dict found; give a JSON list"), ("[", "is no JSON"), ("[]", "no rec")]
)
def test_a_file_that_is_no_export(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ls.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_judged(tmp_path / "ls.json", PLAIN)


def test_two_pairs_with_one_id_are_refused(tmp_path: Path) -> None:
    pairs = read_judged(written(tmp_path / "ls.json", task(id="x"), task(id="x", text1="Nice.")), PLAIN)
    with pytest.raises(DataError, match="the pair 'x' occurs twice"):
        write_imported(pairs, tmp_path / "to")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"columns": {"third": "x"}}, "--column: 'third' is no part"),
        ({"columns": {}, "points": 4}, "--points: 4 found"),
    ],
)
def test_a_layout_that_is_wrong(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PairLayout(**fields)


def test_the_command(tmp_path: Path) -> None:
    runner, file = CliRunner(), str(FIXTURES / "label_studio.json")
    to = str(tmp_path / "to")
    done = runner.invoke(cli, ["study", "import", file, "--to", to])
    assert (done.exit_code, done.stdout) == (0, f"3 pairs, 3 new answers: {to}\n")
    assert runner.invoke(cli, ["study", "import", file]).exit_code == 2
    wrong = runner.invoke(cli, ["study", "import", file, "--to", to, "--column", "first"])
    assert (wrong.exit_code, "--column: 'first' found" in wrong.stderr) == (2, True)
