"""A refinement whose pairs people compare in a study."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from people_at_work import person, worked
from refinement import refine, right, rows, settings, written

from burnish.config.study import StudyKind
from burnish.errors import Paused
from burnish.people.mailbox import Annotation, Mailbox, Said
from burnish.people.study.export import deliver
from burnish.people.study.folder import new_study
from burnish.people.study.model import SentReply, ShownQuestion
from burnish.people.study.schema import opened
from burnish.people.study.sittings import arrive, consent


def truth(question: ShownQuestion) -> SentReply:
    """Prefer the right answer with full confidence, and pass the screening by what the paper expects."""
    if question.role == "screening":
        return SentReply(
            value=-1 if any(text in question.first for text in ("a sea", "r^2", "breathing rate is")) else 1
        )
    first, second = right(question.prompt, question.first), right(question.prompt, question.second)
    return SentReply(value=0 if first == second else -3 if first else 3)


def answered_in_a_study(pages: Path, out: Path) -> int:
    """Let people come until nothing is free, and give the annotations back. Returns how many there are."""
    study = new_study(pages, out, StudyKind.COMPARISONS)
    rules = study.rules()
    with closing(opened(study.file)) as db:
        number = 0
        while (session := arrive(db, person(f"{number}"), 0.0).session) is not None:
            assert consent(db, rules, session, 0.0) is None
            worked(db, rules, session, 0.0, truth)
            number += 1
        return deliver(db, out)


def answered_in_a_spreadsheet(out: Path) -> None:
    box = Mailbox(out)
    for ask in box.asked():
        first, second = right(ask.request, ask.first), right(ask.request, ask.second)
        said = Said.TIE if first == second else Said.FIRST if first else Said.SECOND
        box.answer([Annotation(id=ask.id, said=said, by="ann", shown=ask.shown)])


@pytest.mark.slow
def test_people_on_pages_refine_as_people_in_a_spreadsheet(tmp_path: Path):
    config = settings(written(tmp_path), annotator="people", no_selftest=True)
    found: list[list[str]] = []
    for way in ("pages", "sheet"):
        where = tmp_path / way
        for number in (1, 2):
            with pytest.raises(Paused, match="pairs wait for people"):
                refine(config, where)
            if way == "pages":
                assert answered_in_a_study(where / f"study-{number}", where / "out") > 0
            else:
                answered_in_a_spreadsheet(where / "out")
        found.append(refine(config, where).labels())
    assert found[0] == found[1]
    assert found[0] != [row["answer"] for row in rows()]


# Not marked slow: it is the one quick test in which a study serves a refinement.
def test_the_same_study_again_adds_nothing(tmp_path: Path):
    config = settings(written(tmp_path), annotator="people", no_selftest=True)
    with pytest.raises(Paused):
        refine(config, tmp_path)
    count = answered_in_a_study(tmp_path / "study", tmp_path / "out")
    assert count > 0
    with closing(opened(tmp_path / "study" / "study.sqlite")) as db:
        assert deliver(db, tmp_path / "out") == 0
