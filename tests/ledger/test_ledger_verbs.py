"""diff and show on a refinement's folder."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from folders import BIDI, FORMULA, GIVEN, PROPOSED, SCRIPT, Made, made
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from burnish.cli import main as cli
from burnish.errors import DataError
from burnish.ledger.diff_page import sureness, write_diff
from burnish.ledger.folder import ANSWERS, EXAMPLES, Folder
from burnish.ledger.history import WHY, changes, history
from burnish.ledger.marking import MOST_WORDS, Piece, marked
from burnish.ledger.reverting import revert
from burnish.ledger.terminal_diff import harmless, print_changes, print_history
from burnish.types import Demonstration, Reason


@pytest.fixture
def there(tmp_path: Path) -> Made:
    return made(tmp_path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


# What changed


def test_net_changes_go_from_the_first_answer_to_the_one_that_stands(there: Made):
    found = changes(there.folder, None)
    assert len(found) == 4
    assert [(one.example_id, one.round, one.steps, one.before, one.after) for one in found] == [
        ("r1", 1, 1, GIVEN["r1"], SCRIPT),
        ("r2", 2, 2, "two", "two point two"),
        ("r3", 1, 1, FORMULA, "three"),
        ("r4", 2, 1, GIVEN["r4"], PROPOSED[2]["r4"]),
    ]
    first = next(iter(found))
    assert (first.where, first.p_b_ab, first.p_b_ba, first.reverted) == ("data.jsonl:1", 0.95, 0.85, False)
    assert first.confidence == pytest.approx(0.4)


def test_the_changes_of_a_round_are_those_that_it_accepted(there: Made):
    assert [(one.example_id, one.before, one.after) for one in changes(there.folder, 2)] == [
        ("r2", "two point one", "two point two"),
        ("r4", GIVEN["r4"], PROPOSED[2]["r4"]),
    ]


def test_a_round_shows_what_was_taken_back_since_and_the_net_does_not(there: Made):
    revert(there.path, None, ["r2"])
    assert [(one.example_id, one.reverted) for one in changes(there.folder, 1)] == [
        ("r1", False),
        ("r2", True),
        ("r3", False),
    ]
    assert [one.example_id for one in changes(there.folder, None)] == ["r1", "r3", "r4"]


def test_a_round_that_is_not_there_names_those_that_are(there: Made):
    with pytest.raises(DataError, match=r"round 3 is not in the ledger; rounds there: 1, 2"):
        changes(there.folder, 3)


def test_texts_are_read_for_the_changes_that_are_asked_for_alone(there: Made, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    read = Folder.answers

    def counted(self: Folder, ids: Iterable[str]) -> dict[str, Demonstration]:
        wanted = list(ids)
        asked.append(len(wanted))
        return read(self, wanted)

    monkeypatch.setattr(Folder, "answers", counted)
    assert len(list(changes(there.folder, None).first(1))) == 1
    assert asked == [2]


def test_how_sure_the_annotator_was_is_said_of_the_last_step(there: Made):
    one, two, *_ = changes(there.folder, None)
    assert sureness(one) == "P(after is better) 0.90 (0.95 in one order, 0.85 in the other)"
    assert sureness(two).startswith("2 changes, the last: P(after is better) 0.90")
    assert sureness(dataclasses.replace(one, p_b_ba=None)) == "P(after is better) 0.95"
    assert sureness(dataclasses.replace(one, p_b_ab=None, p_b_ba=None)) == ""


# The history of a row


def test_every_reason_has_a_sentence():
    assert set(WHY) == set(Reason)


def test_a_history_has_every_line_with_its_texts(there: Made):
    revert(there.path, 2, [])
    found = history(there.folder, "r2")
    assert (found.where, found.changed, found.standing) == ("data.jsonl:2", True, "two point one")
    assert [(one.round, one.reason, one.kept, one.proposed, one.chosen) for one in found.entries] == [
        (1, "accepted", "two", "two point one", "two point one"),
        (2, "accepted", "two point one", "two point two", "two point two"),
        (2, "reverted", "two point two", "two point two", "two point one"),
    ]
    assert (found.entries[0].annotator, found.entries[2].annotator) == ("people", "user")


def test_a_row_that_never_changed_stands_as_it_came(there: Made):
    found = history(there.folder, "r7")
    assert (found.changed, found.standing) == (False, "seven")
    assert [one.why for one in found.entries] == [WHY[Reason.REJECTED], WHY[Reason.AGREED]]


def test_an_unknown_id_names_close_ones(there: Made):
    with pytest.raises(
        DataError, match=r"no usable row has the id 'r11'; similar ids: r1; `burnish show \S+` lists the ids"
    ):
        history(there.folder, "r11")
    with pytest.raises(DataError, match=r"id 'something else'; `burnish show \S+` lists the ids"):
        history(there.folder, "something else")


# Words


def text_of(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_words_that_differ_are_marked():
    found = marked("the answer is 5.", "the right answer is 4.")
    assert [(piece.text, piece.changed) for piece in found.before] == [
        ("the ", False),
        ("answer is ", False),
        ("5", True),
        (".", False),
    ]
    assert [piece.text for piece in found.after if piece.changed] == ["right", "4"]
    assert not found.whole


def test_white_space_alone_is_no_difference():
    assert marked("a  b\nc", "a b c").same
    assert not marked("a", "a b").same


@given(st.text("ab \n.", max_size=40), st.text("ab \n.", max_size=40))
def test_pieces_make_up_their_text(before: str, after: str):
    found = marked(before, after)
    assert (text_of(found.before), text_of(found.after)) == (before, after)


def test_long_texts_are_matched_in_part_and_say_so():
    before, after = "same " + "x y " * 5000 + "end", "same " + "x z " * 5000 + "end"
    found = marked(before, after)
    assert found.whole
    assert (text_of(found.before), text_of(found.after)) == (before, after)
    assert (found.before[0].text, found.before[-1].text, found.before[-1].changed) == ("same x ", "end", False)
    matched = [piece.text for piece in found.before if piece.changed and piece.text == "y"]
    assert 0 < len(matched) <= MOST_WORDS


def test_a_long_text_with_a_small_change_is_matched_in_full():
    before = "word " * 20_000
    found = marked(before, before + "more")
    assert not found.whole
    assert [piece.text for piece in found.after if piece.changed] == ["more"]


# The page


def test_the_page_is_one_file_without_script_and_escapes_everything(there: Made, tmp_path: Path):
    assert write_diff(there.folder, None, None, tmp_path / "diff.html") == 4
    page = (tmp_path / "diff.html").read_text()
    assert "<script" not in page.lower()
    assert "&lt;script&gt;alert(&#39;pwned&#39;)&lt;/script&gt;" in page
    assert re.findall(r"<del>(.*?)</del>", page)[1:2] == ["5"]
    assert "\x1b" not in page
    assert "http" not in page.replace(FORMULA.replace('"', "&#34;"), "")
    assert "4 labels changed." in page


def test_the_page_of_a_round_marks_what_was_taken_back_and_says_what_is_left_out(there: Made, tmp_path: Path):
    revert(there.path, None, ["r1"])
    assert write_diff(there.folder, 1, 2, tmp_path / "diff.html") == 2
    page = (tmp_path / "diff.html").read_text()
    assert page.count("taken back since") == 1
    assert "3 labels changed by round 1. The first 2 are shown." in page


def test_a_page_without_changes_says_so(there: Made, tmp_path: Path):
    revert(there.path, None, ["r1", "r2", "r3", "r4"])
    assert write_diff(there.folder, None, None, tmp_path / "diff.html") == 0
    assert "No label changed." in (tmp_path / "diff.html").read_text()


# The terminal


def printed(width: int, colours: bool) -> Console:
    return Console(width=width, force_terminal=colours, color_system="standard" if colours else None, record=True)


def test_changes_are_printed_without_escape_codes_or_markup(there: Made, capsys: pytest.CaptureFixture[str]):
    print_changes(printed(100, colours=False), changes(there.folder, None))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "title" not in out  # the escape that would set the window's title
    assert "What is red and loud?" in out
    assert "{+<script>" in out
    assert "the answer is [-5-]" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_a_terminal_colours_the_words(there: Made, capsys: pytest.CaptureFixture[str]):
    print_changes(printed(100, colours=True), changes(there.folder, 2))
    out = capsys.readouterr().out
    assert "\x1b[32mtwo\x1b[0m" in out
    assert "{+" not in out


def test_a_history_is_printed(there: Made, capsys: pytest.CaptureFixture[str]):
    revert(there.path, 2, [])
    print_history(printed(120, colours=False), history(there.folder, "r2"))
    out = capsys.readouterr().out
    assert "round 2: the user took the change back" in out
    judged = "P(proposal is better) 0.95 with the label first, 0.85 with the proposal first · confidence 0.40"
    assert f"{judged} · annotator people" in out
    assert out.rstrip().endswith("two point one")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\n\tb \x1b[1mc", "a\n    b c"),
        ("abcdef", "abcd … (2 more characters)"),
        ("[x]", "[x]"),
        ("\u202eab", "\\u202eab"),
    ],
)
def test_a_text_keeps_lines_and_indents_alone(text: str, shown: str):
    assert harmless(text, 4 if text == "abcdef" else 100) == shown


# The command line


def test_the_verbs_find_the_folder_where_they_are_called(there: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(there.path.parent)
    assert "two point two" in invoke("show", "r2").stdout
    assert json.loads(invoke("diff", "--json").stdout)["total"] == 4
    monkeypatch.chdir(there.path)
    assert "two point two" in invoke("show", "r2").stdout
    assert invoke("revert", "--id", "r2").stdout == "1 row taken back: refined.jsonl\n"


def test_without_a_folder_the_error_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (("show", "r1"), ("diff",), ("revert", "--round", "1")):
        result = invoke(*arguments)
        assert (result.exit_code, "give the folder that `burnish refine` wrote" in result.stderr) == (2, True)
    result = invoke("diff", str(tmp_path))
    assert (result.exit_code, "refinement.json" in result.stderr) == (2, True)


def test_diff_prints_some_and_says_how_to_see_the_rest(there: Made):
    result = invoke("diff", str(there.path), "--limit", "1")
    assert "data.jsonl:1" in result.stdout
    assert "data.jsonl:2" not in result.stdout
    assert "1 of 4 changes; --limit 0 shows all" in result.stderr


def test_diff_as_json_is_one_object(there: Made):
    found = json.loads(invoke("diff", str(there.path), "--round", "1", "--limit", "2", "--json").stdout)
    assert (found["total"], [one["example_id"] for one in found["changes"]]) == (3, ["r1", "r2"])
    assert found["changes"][0]["after"] == SCRIPT


def test_diff_writes_a_page(there: Made, tmp_path: Path):
    result = invoke("diff", str(there.path), "--html", str(tmp_path / "d.html"))
    assert result.stdout == f"4 changes: {tmp_path / 'd.html'}\n"


def test_show_as_json_is_one_object(there: Made):
    found = json.loads(invoke("show", str(there.path), "r8", "--json").stdout)
    assert found["entries"][0]["proposed"] == BIDI
    assert found["entries"][0]["reason"] == "over_cap"


def test_show_takes_two_arguments_at_most(there: Made):
    assert invoke("show", str(there.path), "r1", "r2").exit_code == 2


@pytest.mark.parametrize("name", [EXAMPLES, ANSWERS])
def test_a_folder_with_a_missing_file_says_which(there: Made, name: str):
    (there.path / name).unlink()
    result = invoke("show", str(there.path), "r1")
    assert (result.exit_code, name in result.stderr) == (2, True)
