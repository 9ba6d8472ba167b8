"""The folder of a study: settings, texts, check questions, items, and what is exported."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from people_at_work import person, right_reply, worked

from burnish.config.study import ComparisonStudy, DemonstrationStudy, StudyKind
from burnish.errors import ConfigError, DataError, StageError
from burnish.people.mailbox import Annotation, Ask, Mailbox, Purpose, Said
from burnish.people.sheet import Imported, import_
from burnish.people.study.export import deliver, export_study
from burnish.people.study.folder import StudyFolder, new_study, read_rules
from burnish.people.study.intake import found_words, read_checks, read_items
from burnish.people.study.model import ItemRole, SentReply, ShownQuestion
from burnish.people.study.reading import answers, rules_of
from burnish.people.study.schema import opened
from burnish.people.study.sittings import arrive, consent
from burnish.people.study.texts import blocks, filled, span
from burnish.types import Order

COMPARISONS, DEMONSTRATIONS = StudyKind.COMPARISONS, StudyKind.DEMONSTRATIONS


def write_pairs(path: Path, *rows: Mapping[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [{"id": f"r{number}", "prompt": f"q{number}", "first": "one", "second": "two"} for number in range(4)]
    return write_pairs(tmp_path / "pairs.jsonl", *rows)


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """The folder of a refinement in which three pairs wait, the second one swapped."""
    folder = tmp_path / "refined"
    folder.mkdir()
    Mailbox(folder).ask(
        [
            Ask(
                id=f"compare-{number}",
                purpose=Purpose.COMPARE,
                comparison_id=str(number),
                example_id=f"r{number}",
                request=f"q{number}",
                first="new" if number == 1 else "old",
                second="old" if number == 1 else "new",
                shown=Order.BA if number == 1 else Order.AB,
                weight=4.0 if number == 2 else 1.0,
                why="control" if number == 2 else "",
                current=("given", "proposal", "")[number],
            )
            for number in range(3)
        ]
    )
    return folder


# The folder


def test_a_new_study_has_all_its_files_and_a_code_for_each_end(tmp_path: Path, pairs: Path):
    study = new_study(tmp_path / "study", pairs, COMPARISONS)
    assert {path.name for path in study.path.iterdir()} == {"study.yaml", "questions.yaml", "texts", "study.sqlite"}
    rules = study.rules()
    assert isinstance(rules, ComparisonStudy)
    assert (rules.per_sitting, rules.points, rules.minutes, rules.screening_tries) == (50, 7, 50, 1)
    codes = {rules.codes.complete.code, rules.codes.screened_out.code, rules.codes.partial.code}
    assert len(codes) == 3
    assert None not in codes
    assert (study.file.stat().st_mode & 0o077) == 0
    with study.opened_to_read() as db:
        assert rules_of(db) == rules
    assert [item.expected for item in study.checks(COMPARISONS)] == ["a", "b", "a"]


def test_the_defaults_of_demonstrations_are_the_papers(tmp_path: Path):
    prompts = write_pairs(tmp_path / "prompts.jsonl", *({"prompt": f"q{number}"} for number in range(20)))
    study = new_study(tmp_path / "study", prompts, DEMONSTRATIONS)
    rules = study.rules()
    assert isinstance(rules, DemonstrationStudy)
    assert (rules.per_sitting, rules.least_seconds, rules.most_seconds, rules.wanted) == (15, 60, 120, 1)
    texts = study.texts(rules).texts["task"]
    assert any("presented with 15 questions" in block.lines[0] for block in texts)
    assert any("more than 1 minute and less than 2 minutes" in block.lines[0] for block in texts)
    assert any("3 randomly placed quality check questions" in block.lines[0] for block in texts)


def test_people_are_told_of_no_more_questions_than_there_are(tmp_path: Path, pairs: Path):
    def told(kind: StudyKind, questions: str | None) -> str:
        study = new_study(tmp_path / f"{kind}-{questions}", pairs, kind)
        if questions is not None:
            (study.path / "questions.yaml").write_text(questions)
        return "\n".join(line for block in study.texts(study.rules()).texts["task"] for line in block.lines)

    assert "shown 4 request-response groups" in told(COMPARISONS, None)
    assert "screening" not in told(COMPARISONS, "[]")
    assert "presented with 4 questions" in told(DEMONSTRATIONS, None)
    assert "quality check" not in told(DEMONSTRATIONS, "")


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, pairs: Path):
    new_study(tmp_path / "study", pairs, COMPARISONS)
    with pytest.raises(ConfigError, match="exists already; name another folder"):
        new_study(tmp_path / "study", pairs, COMPARISONS)


def test_a_failed_study_leaves_nothing(tmp_path: Path):
    empty = write_pairs(tmp_path / "empty.jsonl")
    with pytest.raises(DataError, match="has no rows"):
        new_study(tmp_path / "study", empty, COMPARISONS)
    assert [path.name for path in tmp_path.iterdir()] == ["empty.jsonl"]


def test_settings_that_differ_from_the_defaults(tmp_path: Path, pairs: Path):
    (tmp_path / "mine.yaml").write_text("wanted: 3\npoints: 5\ncodes: {complete: {code: DONE}}\n")
    rules = new_study(tmp_path / "study", pairs, COMPARISONS, tmp_path / "mine.yaml").rules()
    assert isinstance(rules, ComparisonStudy)
    assert (rules.wanted, rules.points, rules.codes.complete.code) == (3, 5, "DONE")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: demonstrations", "kind is demonstrations, but --kind is comparisons"),
        ("points: 6", "6 points have no middle"),
        ("least_seconds: 60", "least_seconds 60 is not below most_seconds 60"),
        ("wantde: 3", "wantde"),
        ("- a list", "list found; write a mapping"),
        ("codes: {complete: {address: 'javascript:alert(1)'}}", "no address of a page; write https://"),
        ("codes: {complete: {code: A}, partial: {code: A}}", "not three different codes"),
        ("language: 'en\" onload=\"'", "language"),
    ],
)
def test_wrong_settings_name_the_field(tmp_path: Path, pairs: Path, text: str, words: str):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        new_study(tmp_path / "study", pairs, COMPARISONS, tmp_path / "mine.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rules(tmp_path / "missing.yaml")


def test_one_process_a_study(tmp_path: Path, pairs: Path):
    study = new_study(tmp_path / "study", pairs, COMPARISONS)
    with study.locked(), pytest.raises(StageError, match="another process serves this study"), study.locked():
        pass
    with pytest.raises(DataError, match="no such file; make a study"), StudyFolder(path=tmp_path).locked():
        pass


# Texts


def test_a_text_has_headings_paragraphs_and_lists():
    found = [(block.kind, block.lines) for block in blocks("# Head\n\none\ntwo\n\n- a\n- b\n\n\n")]
    assert found == [("heading", ("Head",)), ("paragraph", ("one", "two")), ("list", ("a", "b"))]
    assert blocks(" \n") == []
    assert filled("{a} {b} {c", {"a": 1}) == "1 {b} {c"
    assert [span(seconds) for seconds in (30, 60, 90, 120)] == ["30 seconds", "1 minute", "90 seconds", "2 minutes"]


def test_texts_can_be_translated_and_a_lost_word_is_named(tmp_path: Path, pairs: Path):
    study = new_study(tmp_path / "study", pairs, COMPARISONS)
    words = study.path / "texts" / "words.yaml"
    text = words.read_text()
    words.write_text(text.replace("agree: I agree. Begin.", "agree: Ich stimme zu."))
    assert study.texts(study.rules()).words["agree"] == "Ich stimme zu."
    words.write_text(text.replace("agree: I agree. Begin.", "agre: Ich stimme zu."))
    with pytest.raises(ConfigError, match=r"agree(.|\n)*agre"):
        study.texts(study.rules())
    (study.path / "texts" / "guide.txt").unlink()
    with pytest.raises(ConfigError, match=r"guide.txt: cannot be read"):
        study.texts(study.rules())


def test_words_are_found_whole_and_decide_nothing():
    (check, *_) = read_checks("- {prompt: q, look_for: three, words: ['3', three, 'a+b']}", "q.yaml", DEMONSTRATIONS)
    assert check.role is ItemRole.CHECK
    assert found_words(check.expected, "There are 13 of them") == {"3": False, "three": False, "a+b": False}
    assert found_words(check.expected, "THREE, or 3. (a+b)") == {"3": True, "three": True, "a+b": True}


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("a: b", COMPARISONS, "dict found; write a list"),
        ("- {prompt: q}", COMPARISONS, "first"),
        ("- {prompt: q, first: a, second: b, expected: third}", COMPARISONS, "third"),
        ("- {prompt: q}", DEMONSTRATIONS, "look_for"),
    ],
)
def test_wrong_check_questions_are_named(text: str, kind: StudyKind, words: str):
    with pytest.raises(ConfigError, match=words):
        read_checks(text, "questions.yaml", kind)
    assert read_checks("# nothing\n", "questions.yaml", kind) == []


# Items


def test_waiting_pairs_are_in_their_own_order(waiting: Path):
    items = read_items(waiting, COMPARISONS, None, 0)
    assert [(one.name, one.prompt, one.a, one.b) for one in items] == [
        (f"compare-{number}", f"q{number}", "old", "new") for number in range(3)
    ]
    assert [(one.weight, one.why) for one in items] == [(1.0, "compare"), (1.0, "compare"), (4.0, "control")]
    # Without a current answer, both are new.
    sources = [("given", "proposal"), ("proposal", "proposal"), ("", "")]
    assert [(one.a_source, one.b_source) for one in items] == sources
    prompts = read_items(waiting, DEMONSTRATIONS, None, 0)
    assert [(one.name, one.prompt) for one in prompts] == [("r0", "q0"), ("r1", "q1"), ("r2", "q2")]


def test_rows_of_files(tmp_path: Path):
    path = write_pairs(
        tmp_path / "rows.jsonl",
        {"input": "q", "output_1": "a", "output_2": "b", "first_source": "human", "weight": 2, "why": "control"},
        {"prompt": "q", "first": "a", "second": "b"},
        {"prompt": "q", "first": "a", "second": "b"},
    )
    one, two, three = read_items(path, COMPARISONS, None, 0)
    assert (one.a, one.b, one.a_source, one.weight, one.why) == ("a", "b", "human", 2.0, "control")
    assert len({one.name, two.name, three.name}) == 3
    alpaca = write_pairs(tmp_path / "alpaca.jsonl", {"instruction": "Sort.", "input": "b a", "output": "a b"})
    assert [one.prompt for one in read_items(alpaca, DEMONSTRATIONS, None, 0)] == ["Sort.\n\nb a"]


def test_items_are_drawn_by_the_seed(tmp_path: Path):
    path = write_pairs(tmp_path / "rows.jsonl", *({"prompt": f"q{number}"} for number in range(100)))
    drawn = [[one.prompt for one in read_items(path, DEMONSTRATIONS, 10, seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 10


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "q", "first": "a"}, "no column 'second'"),
        ({"prompt": " ", "first": "a", "second": "b"}, "'prompt' is blank"),
        ({"prompt": "q", "first": "a", "second": "b", "weight": 0.5}, "'weight' is 0.5"),
        ({"id": "x", "prompt": "q", "first": "a", "second": "b"}, "the id 'x' occurs twice"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row: dict[str, object], words: str):
    path = write_pairs(tmp_path / "rows.jsonl", row, {**row})
    with pytest.raises(DataError, match=words):
        read_items(path, COMPARISONS, None, 0)
    with pytest.raises(DataError, match=r"waiting.jsonl: no pair waits"):
        read_items(tmp_path, COMPARISONS, None, 0)


# Out


def seconds_better(question: ShownQuestion) -> SentReply:
    """Prefer the text "new" or "two" with moderate confidence, on whatever side it is shown."""
    if question.role is ItemRole.SCREENING or not question.second:
        return right_reply(question)
    return SentReply(value=-2 if question.first in ("new", "two") else 2, note="I am Ann")


def done(study: StudyFolder, *names: str) -> sqlite3.Connection:
    """Let people do a whole sitting each."""
    rules = study.rules()
    db = opened(study.file)
    db.execute("DELETE FROM item WHERE role = 'screening'")
    for name in names:
        session = arrive(db, person(name), 0.0).session
        assert session is not None
        assert consent(db, rules, session, 0.0) is None
        worked(db, rules, session, 0.0, seconds_better)
    return db


def test_annotations_go_back_to_the_refinement_that_waits(tmp_path: Path, waiting: Path):
    study = new_study(tmp_path / "study", waiting, COMPARISONS)
    with closing(done(study, "ann@example.org")) as db:
        assert deliver(db, waiting) == 3
        assert deliver(db, waiting) == 0
        with pytest.raises(DataError, match="asked people about no pair; name the folder"):
            deliver(db, tmp_path)
    said = [row for rows in Mailbox(waiting).said().values() for row in rows]
    assert [(row.id, row.by, row.confidence, row.seconds, row.late, row.early) for row in said] == [
        (f"compare-{number}", "p001", 2 / 3, 45.0, False, False) for number in range(3)
    ]
    # "new" is side b. It was shown second if the order was ab.
    assert all(row.said is (Said.SECOND if row.shown is Order.AB else Said.FIRST) for row in said)
    assert all(row.value == (2 if row.said is Said.SECOND else -2) for row in said)
    assert "Ann" not in (waiting / "annotations.jsonl").read_text()


def test_an_export_is_read_by_annotate_import(tmp_path: Path, waiting: Path):
    study = new_study(tmp_path / "study", waiting, COMPARISONS)
    with closing(done(study, "ann@example.org")) as db:
        exported = export_study(db, tmp_path / "out", notes=True)
        assert (exported.answers, [path.name for path in exported.files]) == (
            3,
            ["annotations.jsonl", "answers.jsonl", "labels.jsonl"],
        )
        with pytest.raises(ConfigError, match="is the folder of a refinement"):
            export_study(db, waiting)
    file = tmp_path / "out" / "annotations.jsonl"
    assert import_(waiting, file, "somebody") == Imported(added=3, unchanged=0, blank=0)
    assert import_(waiting, file, "somebody") == Imported(added=0, unchanged=3, blank=0)
    kept = Mailbox(waiting).said()["compare-1"]
    assert [(row.by, row.note) for row in kept] == [("p001", "I am Ann")]
    labels = [json.loads(line) for line in (tmp_path / "out" / "labels.jsonl").read_text().splitlines()]
    assert {(row["worker"], row["label"]) for row in labels} == {("p001", "B")}
    assert "ann@example.org" not in "".join(path.read_text() for path in exported.files)


@pytest.mark.parametrize(
    ("change", "words"), [({"said": "third"}, "said"), ({"id": "other"}, "never asked here"), ({"extra": 1}, "extra")]
)
def test_a_wrong_annotation_is_not_imported(tmp_path: Path, waiting: Path, change: dict[str, object], words: str):
    row = {"id": "compare-0", "said": "first", "by": "p001", "shown": "ab"} | change
    path = write_pairs(tmp_path / "annotations.jsonl", row)
    with pytest.raises(DataError, match=words):
        import_(waiting, path, "somebody")
    assert Mailbox(waiting).said() == {}


def test_demonstrations_are_a_dataset(tmp_path: Path, pairs: Path):
    study = new_study(tmp_path / "study", pairs, DEMONSTRATIONS)
    db = done(study, "ann")
    with closing(db):
        exported = export_study(db, tmp_path / "out")
        assert len(list(answers(db))) == 4 + 3
        with pytest.raises(ConfigError, match="answers no pairs; use --to"):
            deliver(db, tmp_path)
    rows = [json.loads(line) for line in exported.files[0].read_text().splitlines()]
    assert [(row["id"], row["prompt"], row["completion"], row["by"]) for row in rows] == [
        (f"r{number}", f"q{number}", "three", "p001") for number in range(4)
    ]


def test_an_annotation_of_a_spreadsheet_has_no_numbers_of_a_study():
    one = Annotation(id="a", said=Said.FIRST, by="user", shown=Order.AB)
    assert (one.value, one.seconds, one.late, one.early) == (None, None, False, False)
