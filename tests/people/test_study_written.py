"""What `burnish study agreement` says of a study of demonstrations."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner
from people_at_work import begun
from study_pages import DEMONSTRATIONS, in_process, made_study

from burnish.cli import main as cli
from burnish.people.study.answering import answer, next_question
from burnish.people.study.folder import StudyFolder
from burnish.people.study.managing import review
from burnish.people.study.model import ItemRole, ReviewVerdict, SentReply
from burnish.people.study.schema import opened
from burnish.people.study.sittings import withdraw

CHECKS = "[{prompt: How many, look_for: three, words: ['3', three]}, {prompt: Open, look_for: anything}]\n"


def worked_at(folder: Path) -> StudyFolder:
    """Ann answers two prompts and both checks. Bob is rejected, and Cy stops before the first answer."""
    folder.mkdir()
    (folder / "questions.yaml").write_text(CHECKS)
    study = made_study(folder, DEMONSTRATIONS, questions=folder / "questions.yaml")
    with closing(opened(study.file)) as db:
        rules = study.rules()
        for name, seconds, text in (("ann", [90.0, 30.0], "one two three"), ("bob", [130.0, 70.0], "no")):
            session, now = begun(db, rules, name), 0.0
            while (question := next_question(db, session, now)) is not None:
                now += seconds.pop(0) if question.role is ItemRole.WORK else 80.0
                assert answer(db, rules, session, question.token, SentReply(text=text), now)
        review(db, rules, "p002", ReviewVerdict.REJECT, "careless", 500.0)
        cy = begun(db, rules, "cy", 600.0)
        next_question(db, cy, 600.0)
        withdraw(db, cy, 610.0, erase=False)
    return study


def test_a_study_of_demonstrations_says_how_people_wrote(tmp_path: Path):
    study = worked_at(tmp_path / "one")
    said = CliRunner().invoke(cli, ["study", "agreement", str(study.path), "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout) == {
        "kind": "demonstrations",
        **{"answers": 2, "median_seconds": 60.0, "early": 1, "late": 0, "median_words": 3, "items": 2, "workers": 2},
        # The second check has no words to look for, so only people can judge it.
        "checks": {"check-1": {"right": 1, "judged": 2}},
        "people": [
            {
                **{"worker": "p001", "answers": 2, "median_seconds": 60.0, "early": 1, "late": 0, "median_words": 3},
                **{"state": "finished", "passed": 1, "checked": 1, "review": ""},
            },
            {
                **{"worker": "p002", "answers": 2, "median_seconds": 100.0, "early": 0, "late": 1, "median_words": 1},
                **{"state": "finished", "passed": 0, "checked": 1, "review": "reject"},
            },
        ],
    }
    words = CliRunner().invoke(cli, ["study", "agreement", str(study.path)]).stdout.splitlines()
    assert words[:7] == [
        "people                         2",
        "answers that count             2, to 2 prompts",
        "median seconds                 60.0",
        "early (under 60 seconds)       1",
        "late (over 120 seconds)        0",
        "median words                   3.0",
        "check-1, right                 1 of 2",
    ]
    assert words[-1].split() == ["p002", "finished", "2", "100.0", "0", "1", "1.0", "0", "of", "1", "reject"]
    with in_process(study) as served:
        assert "p002 finished 2 100.0 0 1 1.0 0 of 1 reject" in served.admin().get("/agreement").text


def test_a_study_without_answers_is_named(tmp_path: Path):
    study = made_study(tmp_path, DEMONSTRATIONS)
    said = CliRunner().invoke(cli, ["study", "agreement", str(study.path)])
    assert (said.exit_code, said.stdout) == (2, "")
    assert "nobody has answered a question yet; wait for answers" in said.stderr
