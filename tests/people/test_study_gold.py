"""Gold pairs: pairs with a known answer among the work of a study."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from people_at_work import PAIRS, begun, in_memory, pair_items, right_reply, worked, wrong_reply
from study_pages import COMPARISONS, in_process, made_study, right_choice

from burnish.cli import main as cli
from burnish.errors import ConfigError, DataError
from burnish.people.study.agreeing import study_agreement
from burnish.people.study.answering import answer, next_question
from burnish.people.study.checking import RightCount, known_counts
from burnish.people.study.export import labels_of, study_annotations
from burnish.people.study.folder import new_study
from burnish.people.study.managing import broken_invariants, create, renew
from burnish.people.study.model import AttemptState, ItemRole, StudyItem
from burnish.people.study.reading import answers, counts, rules_of
from burnish.people.study.schema import MIGRATIONS, opened, opened_to_read
from burnish.people.study.sittings import standing

GOLD = PAIRS.model_copy(update={"gold": 3, "wanted": 3, "screening_tries": 1})


def test_gold_pairs_stand_among_the_work_and_look_like_it():
    db = in_memory(GOLD, gold=5)
    places: set[int] = set()
    for name in range(8):
        session = begun(db, GOLD, str(name))
        assert worked(db, GOLD, session, 0.0, most=2) == 2  # the screening
        for number in range(1, 8):
            question = next_question(db, session, 90.0)
            assert question is not None
            assert (question.number, question.of) == (number, 4 + 3)
            places |= {number} if question.role is ItemRole.GOLD else set()
            assert answer(db, GOLD, session, question.token, right_reply(question), 135.0)
        assert standing(db, session, 0.0).state is AttemptState.FINISHED
    assert places == set(range(1, 8))
    assert broken_invariants(db) == []
    # The pairs are drawn: each sitting has three different ones of five.
    rows = db.execute(
        "SELECT item.id, sum(shown = 'ab') AS ab, sum(shown = 'ba') AS ba FROM assignment "
        "JOIN item ON item.id = item WHERE role = 'gold' GROUP BY item.id"
    ).fetchall()
    assert sum(row["ab"] + row["ba"] for row in rows) == 8 * 3
    assert len(rows) == 5
    assert all(abs(row["ab"] - row["ba"]) <= 2 for row in rows)


def test_gold_answers_are_counted_for_each_person_and_never_count_as_work():
    db = in_memory(GOLD, gold=3)
    ann, bob = begun(db, GOLD, "ann"), begun(db, GOLD, "bob")
    worked(db, GOLD, ann, 0.0)
    worked(db, GOLD, bob, 0.0, lambda one: wrong_reply(one) if one.role is ItemRole.GOLD else right_reply(one))
    numbers = counts(db, 0.0)
    assert (numbers.items, numbers.wanted, numbers.answered) == (12, 36, 8)
    found = known_counts(db)
    assert found.gold() == {"p001": RightCount(3, 3), "p002": RightCount(0, 3)}
    assert found.checks() == {"p001": RightCount(2, 2), "p002": RightCount(2, 2)}
    assert found.gold_pairs() == {f"gold-{number}": RightCount(1, 2) for number in range(3)}
    assert {one.id[0] for one in study_annotations(db, GOLD, notes=False)} == {"w"}
    assert {one.item[0] for one in labels_of(db)} == {"w"}
    first, second = study_agreement(db).people
    assert (first.labels, first.gold_passed, first.gold_checked, first.passed, first.checked) == (4, 3, 3, 2, 2)
    assert (second.labels, second.gold_passed, second.gold_checked) == (4, 0, 3)


def test_a_study_cannot_ask_for_more_gold_pairs_than_there_are():
    with pytest.raises(ConfigError, match=r"gold: 3 gold pairs stand in each sitting, but the questions have 1 pair"):
        in_memory(GOLD, gold=1)
    db = in_memory(PAIRS, gold=1)
    assert worked(db, PAIRS, begun(db, PAIRS, "ann"), 0.0) == 2 + 4
    with pytest.raises(ConfigError, match="write gold: 0"):
        renew(db, GOLD, [], 0.0)
    items = [*pair_items(3, gold=1), StudyItem(name="gold-0", role=ItemRole.WORK, prompt="p", a="a", b="b")]
    with pytest.raises(DataError, match="the id 'gold-0' is that of a check question; give the row another id"):
        create(opened(":memory:"), PAIRS, items, "a test", 0.0)


def test_a_study_from_before_gold_pairs_is_read_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "study.sqlite"
    with monkeypatch.context() as old:
        old.setattr("burnish.people.study.schema.MIGRATIONS", MIGRATIONS[:1])
        with closing(opened(file)) as db:
            create(db, PAIRS, pair_items(6), "a test", 0.0)
            session = begun(db, PAIRS, "ann")
            worked(db, PAIRS, session, 0.0, most=4)
            before = list(answers(db))
            # Its settings had no `gold`.
            db.execute("UPDATE study SET settings = json_remove(settings, '$.gold')")
    with closing(opened_to_read(file)) as db:
        assert list(answers(db)) == before
        assert rules_of(db) == PAIRS
    with closing(opened(file)) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert worked(db, PAIRS, session, 200.0) == 2
        assert list(answers(db))[:4] == before
        assert broken_invariants(db) == []
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("DELETE FROM item")
        db.execute("UPDATE item SET role = 'gold' WHERE role = 'screening'")


QUESTIONS = """
- {prompt: "Where is the salt water?", first: from a sea, second: from a lake, expected: first}
- {role: gold, prompt: "What is 1 + 1?", first: two, second: three, expected: first}
- {role: gold, prompt: "What is 2 + 2?", first: five, second: two and two, expected: second}
"""


def test_gold_pairs_on_the_pages_from_the_file_to_the_export(tmp_path: Path):
    questions = tmp_path / "questions.yaml"
    questions.write_text(QUESTIONS)
    study = made_study(tmp_path, COMPARISONS, "gold: 2\nper_sitting: 3\n", questions=questions)
    assert (study.path / "questions.yaml").read_text() == QUESTIONS
    with in_process(study) as served:
        browser, page = served.begun("ann")
        tags: list[object] = []
        while browser.path == "/task":
            tags.append(page.tags)
            page = browser.send(page, **right_choice(page))
        # One screening question, and five that cannot be told apart. All are right.
        assert len(tags) == 6
        assert all(one == tags[1] for one in tags[1:])
        assert "you will be shown 5 request-response groups" in served.browser().get("/start?participant=bob").text
        admin = served.admin()
        assert "Gold pairs that were right 2 of 2 (100 %)" in admin.get("/").text
        assert "1 of 1 2 of 2" in admin.get("/people").text
        assert "B: right" in admin.get("/people/p001").text
        assert "gold-2 1 of 1" in admin.get("/items").text
    assert CliRunner().invoke(cli, ["study", "export", str(study.path), "--to", str(tmp_path / "out")]).exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    found = {(one["item"], one["role"], one["right"]) for one in lines if one["role"] != "work"}
    assert found == {("screening-1", "screening", True), ("gold-1", "gold", True), ("gold-2", "gold", True)}
    assert {one["right"] for one in lines if one["role"] == "work"} == {None}
    gold = [json.loads(line) for line in (tmp_path / "out" / "gold.jsonl").read_text().splitlines()]
    assert gold == [
        {"item": f"gold-{number}", "worker": "p001", "label": label, "right": label}
        for number, label in ((1, "A"), (2, "B"))
    ]
    for name in ("annotations.jsonl", "labels.jsonl"):
        assert "gold" not in (tmp_path / "out" / name).read_text()


def test_a_new_study_names_what_is_wrong_with_its_gold_pairs(tmp_path: Path):
    made_study(tmp_path, COMPARISONS)
    (tmp_path / "gold.yaml").write_text("gold: 1\n")
    with pytest.raises(ConfigError, match=r"gold: 1 gold pairs stand .* have 0 pairs .*--questions FILE"):
        new_study(tmp_path / "other", tmp_path / "rows.jsonl", COMPARISONS, tmp_path / "gold.yaml")
    assert not (tmp_path / "other").exists()
    (tmp_path / "bad.yaml").write_text("- {role: check, prompt: q, first: a, second: b, expected: first}\n")
    with pytest.raises(ConfigError, match=r"bad.yaml(.|\n)*role"):
        new_study(tmp_path / "other", tmp_path / "rows.jsonl", COMPARISONS, questions=tmp_path / "bad.yaml")
