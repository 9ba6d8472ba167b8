"""The verbs of `burnish study`."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from people_at_work import begun, person, right_reply, worked
from study_pages import COMPARISONS, DEMONSTRATIONS, in_process, made_study, served

from burnish.cli import main as cli
from burnish.config.study import StudyKind
from burnish.people import web
from burnish.people.study.checking import RightCount, known_counts
from burnish.people.study.folder import StudyFolder
from burnish.people.study.managing import renew
from burnish.people.study.model import SentReply, ShownQuestion
from burnish.people.study.schema import opened
from burnish.people.study.sittings import arrive, consent
from burnish.people.web.demo import demo_rows
from burnish.people.web.serving import ServedPages


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return made_study(tmp_path, DEMONSTRATIONS)


def called(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["study", *map(str, arguments)])


def said(*arguments: object) -> str:
    result = called(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    result = called(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


def done(study: StudyFolder, name: str) -> None:
    rules = study.rules()
    with closing(opened(study.file)) as db:
        session = arrive(db, person(name), 0.0).session
        assert session is not None
        assert consent(db, rules, session, 0.0) is None
        worked(db, rules, session, 0.0)


def test_a_study_from_its_making_to_its_export(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "prompt": "q"}\n{"id": "b", "prompt": "r"}\n')
    folder = tmp_path / "study"
    made = called("new", folder, "--from", tmp_path / "rows.jsonl", "--kind", "demonstrations", "--items", 2)
    assert made.stdout == f"2 items: {folder}\n"
    assert f"burnish study serve {folder}" in made.stderr
    study = StudyFolder(path=folder)
    done(study, "ann@example.org")
    status = said("status", folder)
    assert "open: 2 of 2 answers for 2 items\n0 being worked on, 0 free" in status
    assert "p001  finished, 5 of 5 answered" in status
    numbers = json.loads(said("status", folder, "--json"))
    assert (numbers["answered"], numbers["attempts"], numbers["people"][0]["public"]) == (2, {"finished": 1}, "p001")
    assert said("export", folder).splitlines() == [
        "2 answers",
        str(folder / "export" / "demonstrations.jsonl"),
        str(folder / "export" / "answers.jsonl"),
    ]
    said("backup", folder, "--to", tmp_path / "copy.sqlite")
    assert (tmp_path / "copy.sqlite").stat().st_mode & 0o077 == 0
    assert "is forgotten; delete old backups" in said("forget", folder, "p001")
    texts = [path.read_bytes() for path in (study.file, *(folder / "export").iterdir())]
    assert not any(b"ann@example.org" in text for text in texts)


def test_agreement_is_that_of_the_exported_labels(tmp_path: Path):
    study = made_study(tmp_path, COMPARISONS, "per_sitting: 6\nwanted: 2\n")
    assert "needs comparisons of two people or more" in refused("agreement", study.path)
    with closing(opened(study.file)) as db:
        (study.path / "questions.yaml").write_text("")
        renew(db, study.rules(), [], 0.0)
        for name in ("ann", "bob"):
            session = arrive(db, person(name), 0.0).session
            assert session is not None
            assert consent(db, study.rules(), session, 0.0) is None
            # Ann always prefers "two". Bob always clicks the first answer.
            worked(db, study.rules(), session, 0.0, prefers_two if name == "ann" else clicks_first)
    said("export", study.path, "--to", tmp_path / "out")
    by_file = CliRunner().invoke(
        cli, ["agreement", str(tmp_path / "out" / "labels.jsonl"), "--ordinal", "A,tie,B", "--json"]
    )
    found = json.loads(said("agreement", study.path, "--json"))
    people = found.pop("people")
    assert found == json.loads(by_file.stdout)
    assert [(one["worker"], one["labels"], one["median_seconds"], one["checked"]) for one in people] == [
        ("p001", 6, 45.0, 0),
        ("p002", 6, 45.0, 0),
    ]
    # Bob saw "two" first in half of the six pairs.
    assert found["unanimous"] == 0.5
    assert "unanimous items                50.0" in said("agreement", study.path)
    with in_process(study) as served:
        assert "Krippendorff's alpha, nominal" in served.admin().get("/agreement").text


def test_each_person_is_shown_with_speed_checks_and_side(tmp_path: Path):
    study = made_study(tmp_path, COMPARISONS, "per_sitting: 6\nwanted: 2\nscreening_tries: 2\n")
    (study.path / "questions.yaml").write_text("[{prompt: Which, first: right, second: wrong, expected: first}]\n")
    with closing(opened(study.file)) as db:
        renew(db, study.rules(), study.checks(COMPARISONS), 0.0)
        ann, bob = (begun(db, study.rules(), name) for name in ("ann", "bob"))
        worked(db, study.rules(), ann, 0.0, lambda one: right_reply(one) if one.of == 1 else prefers_two(one))
        # Bob fails the screening once.
        worked(db, study.rules(), bob, 0.0, lambda one: SentReply(value=-(right_reply(one).value or 0)), most=1)
        worked(db, study.rules(), bob, 50.0, lambda one: right_reply(one) if one.of == 1 else clicks_first(one))
    ann, bob = json.loads(said("agreement", study.path, "--json"))["people"]
    assert (ann["passed"], ann["checked"], bob["passed"], bob["checked"]) == (1, 1, 1, 2)
    # Ann saw "two" first in half of the six pairs.
    assert (ann["chose_first"]["value"], ann["chose_first"]["n"]) == (0.5, 6)
    assert (bob["chose_first"]["value"], bob["chose_first"]["n"]) == (1.0, 6)
    lines = said("agreement", study.path).replace("\N{NO-BREAK SPACE}", " ").splitlines()
    header, first, second = lines[-3:]
    assert header.split("  ")[1:2] == ["worker"]
    assert "45.0            1 of 1        50.0 % (18.8 to 81.2) of 6" in first
    assert "45.0            1 of 2        100.0 % (61.0 to 100.0) of 6, leans to a side" in second
    with in_process(study) as served:
        admin = served.admin()
        assert "1 of 2" in admin.get("/people").text
        overview = admin.get("/").text
        assert "Pairs shown in the order ab, and ba 6, 6" in overview
        assert "Checks that were right 2 of 3 (67 %)" in overview
        assert "of 6, leans to a side" in admin.get("/agreement").text


def test_checks_of_demonstrations_are_counted_by_their_words(tmp_path: Path):
    study = made_study(tmp_path, DEMONSTRATIONS)
    done(study, "ann")  # each answer is "three", which one of the three checks wants
    with closing(opened(study.file)) as db:
        assert known_counts(db).checks() == {"p001": RightCount(right=1, judged=3)}
    with in_process(study) as served:
        assert "1 of 3" in served.admin().get("/people").text


def test_who_took_part_is_listed_for_paying_them(tmp_path: Path):
    study = made_study(tmp_path, DEMONSTRATIONS, "codes: {complete: {code: DONE}}\n")
    done(study, "ann")
    done(study, "=1+1")
    assert said("submissions", study.path).splitlines() == [
        "id,person,state,code,review,submitted",
        "ann,p001,finished,DONE,,",
        "'=1+1,p002,finished,DONE,,",
    ]
    platform = tmp_path / "platform.csv"
    platform.write_text("Participant id,Status\nann,APPROVED\nzoe,AWAITING\n,RETURNED\n")
    with_file = said("submissions", study.path, platform, "--column", "Participant id").splitlines()
    assert with_file[1:] == [
        "ann,p001,finished,DONE,,yes",
        "'=1+1,p002,finished,DONE,,no",
        "zoe,,unknown,,,yes",
    ]
    assert "no column 'id', found 'Participant id', 'Status'" in refused(
        "submissions", study.path, platform, "--column", "id"
    )
    assert "FILE and --column belong together" in refused("submissions", study.path, platform)
    assert "no such file" in refused("submissions", study.path, tmp_path / "no.csv", "--column", "id")
    assert "of no known kind" in refused("submissions", study.path, study.file, "--column", "id")
    said("forget", study.path, "p001")
    assert "ann" not in said("submissions", study.path)


def prefers_two(question: ShownQuestion) -> SentReply:
    return SentReply(value=-3 if question.first == "two" else 3)


def clicks_first(_: ShownQuestion) -> SentReply:
    return SentReply(value=-3)


def test_pause_open_and_close(study: StudyFolder):
    assert said("pause", study.path) == f"{study.path}: paused\n"
    assert said("open", study.path) == f"{study.path}: open\n"
    assert said("close", study.path) == f"{study.path}: closed\n"
    assert "closed for good" in refused("open", study.path)
    assert said("status", study.path).startswith("closed: ")


@pytest.mark.slow
def test_a_study_that_is_served_is_changed_through_its_process(study: StudyFolder):
    done(study, "ann")
    with served(study):
        assert said("pause", study.path) == f"{study.path}: paused\n"
        assert "nobody has this name" in refused("forget", study.path, "p009")
        assert "is forgotten" in said("forget", study.path, "p001", "--answers")
        assert "paused: 0 of 6 answers" in said("status", study.path)
        assert "another process serves this study" in refused("serve", study.path, "--port", 0, "--admin-port", 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("status HERE/no", "no such file; make a study with `burnish study new`"),
        ("serve HERE/no", "no such file; make a study"),
        ("pause HERE/no", "no such file; make a study"),
        ("new HERE --from HERE --kind comparisons", "exists already"),
        ("forget HERE/study p001", "'p001': nobody has this name"),
        ("export HERE/study --to HERE --into HERE", "--to and --into are both given"),
        ("backup HERE/study --to HERE/rows.jsonl", "exists already; name another file"),
        ("serve HERE/study --host 0.0.0.0", "without encryption"),
    ],
)
def test_a_mistake_is_explained(tmp_path: Path, arguments: str, words: str):
    made_study(tmp_path, COMPARISONS)
    assert words in refused(*arguments.replace("HERE", str(tmp_path)).split())


@pytest.mark.parametrize("arguments", [("serve", "study"), ("demo",)])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]):
    def without_uvicorn(name: str) -> str | None:
        return None if name == "uvicorn" else name

    monkeypatch.setattr(web.importlib.util, "find_spec", without_uvicorn)
    assert "the package `uvicorn` is not installed" in refused(*arguments)
    assert "pip install 'burnish[web]'" in refused(*arguments)


def test_everything_but_serving_works_without_the_extra(study: StudyFolder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(web, "check_installed", lambda: pytest.fail("the extra is not needed"))
    for verb in ("status", "pause", "open", "export", "close"):
        said(verb, study.path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(StudyKind))
def test_the_demo_is_served(monkeypatch: pytest.MonkeyPatch, kind: StudyKind):
    def stop(pages: ServedPages) -> None:
        assert pages.start.startswith("http://127.0.0.1:")
        pages.stop()

    monkeypatch.setattr("burnish.cli.study_serving._say_where", stop)
    assert said("demo", "--kind", kind, "--port", 0, "--admin-port", 0) == ""


def test_the_demo_has_a_right_and_a_wrong_answer_on_either_side():
    rows = demo_rows(40, 0)
    right = [_is_right(row["first"]) for row in rows]
    assert [_is_right(row["second"]) for row in rows] == [not one for one in right]
    assert 10 < sum(right) < 30


def _is_right(text: str) -> bool:
    left, _, rest = text.partition(" = ")
    return sum(map(int, left.split(" + "))) == int(rest.partition(".")[0])
