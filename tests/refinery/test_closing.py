"""What `burnish refine` prints at its end: why labels did not change, what it cost, what got worse, what comes next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from folders import Made, made
from refinement import RIGHT, Refined, refine, settings, written

from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.ledger.folder import EXAMPLES, LEDGER
from burnish.ledger.page import write_page
from burnish.ledger.reverting import revert
from burnish.ledger.summary import CallSummary
from burnish.protocols import Prompt
from burnish.refinery import FinishedRefinement
from burnish.refinery.words import closing
from burnish.results import Metric
from burnish.types import Completion


def said(there: Made | Refined, seconds: float = 0.0, **changes: Any) -> list[str]:
    """Return the closing lines of a folder, whose summary may be changed."""
    out = there.path if isinstance(there, Made) else there.out
    folder = there.folder if isinstance(there, Made) else there
    summary = folder.summary.model_copy(update=changes)
    found = FinishedRefinement(out=out, summary=summary, seconds=seconds)
    return [line.replace("\u00a0", " ") for line in closing(found)]


class Wrong(FakeBackend):
    """Answers every row wrongly: without an end where its number is odd, without an answer where it ends in 4."""

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        number = int(prompt.id[-2:])
        text = "no idea" if number % 10 == 4 else "#### 1"
        return Completion(id=prompt.id, sample=prompt.sample, text=text, finished=number % 2 == 0, tokens=8)


def test_proposals_that_were_cut_are_counted_with_the_setting_to_raise(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path), rounds=1), tmp_path, Wrong(RIGHT))
    # 60 rows: 30 odd numbers, and six numbers that end in 4.
    assert found.summary.rounds[0].unfinished == 30
    lines = said(found)
    assert "  6 labels could change in round 1. Why the others did not:" in lines
    (line,) = [line for line in lines if " invalid: " in line]
    assert line == (
        "  36 invalid: there is no proposal, or it has no end or no answer; it was not compared. 30 proposals had "
        "no end after 8 tokens; raise the limit with --set decode.max_new_tokens=16"
    )


def test_a_round_that_changed_few_labels_says_why_and_one_that_changed_enough_does_not(tmp_path: Path) -> None:
    there = made(tmp_path)
    assert not [line for line in said(there) if "could change" in line]  # 3 and 2 of the 4 that alpha allows
    few = there.folder.summary.rounds[1].model_copy(
        update={"counts": {"accepted": 1, "agreed": 2, "below_gate": 3, "rejected": 1, "tie": 1}}
    )
    lines = said(there, rounds=(there.folder.summary.rounds[0], few))
    start = lines.index("  4 labels could change in round 2. Why the others did not:")
    assert lines[start + 1 : start + 5] == [
        "  3 below_gate: the proposal was preferred, but with too little confidence (--gate 0.5)",
        "  2 agreed: label and proposal give the same answer, so they were not compared",
        "  1 rejected: the annotator preferred the label",
        "  1 tie: the annotator found both equally good; the label stays",
    ]


def test_it_says_what_was_paid_and_how_long_it_took(tmp_path: Path) -> None:
    there = made(tmp_path)
    assert "cost: no server was asked; all stages took 2 min 05 s" in said(there, seconds=125)
    calls = CallSummary(calls=1200, failed=3, prompt_tokens=90_000, completion_tokens=2_400, cost=0.456, currency="EUR")
    line = "cost: 1,200 answered calls, 3 given up, 90,000 tokens read, 2,400 written, 0.46 EUR; all stages took 9.0 s"
    assert line in said(there, seconds=9, calls=calls)


def test_it_warns_if_labels_got_worse_with_both_shares(tmp_path: Path) -> None:
    there = made(tmp_path)
    assert not [line for line in said(there) if "got worse" in line]
    before = Metric(value=0.875, n=8, ci95=None)
    (line,) = [line for line in said(there, given_accuracy=before) if "got worse" in line]
    assert line.startswith("warning: the labels got worse: 87.5 % were right before, and 75.0 % (40.9 to 92.9) after")


def test_it_warns_of_harm_that_an_audit_found(tmp_path: Path) -> None:
    lines = said(made(tmp_path))
    assert "warning: the audit of round 1 found that 1 of 3 judged changes made the label worse" in lines
    assert not [line for line in lines if "audit of round 2" in line]


def test_the_report_has_the_warnings_of_the_terminal(tmp_path: Path) -> None:
    there = made(tmp_path)
    audit = "the audit of round 1 found that 1 of 3 judged changes made the label worse"
    before = Metric(value=0.875, n=8, ci95=None)
    for summary, words in (
        (there.folder.summary, [audit]),
        (
            there.folder.summary.model_copy(update={"given_accuracy": before}),
            [
                "the labels got worse: 87.5 % were right before, and 75.0 % (40.9 to 92.9) after the last round; look "
                "at the changes, and take rounds back or use a better annotator",
                audit,
            ],
        ),
    ):
        page = write_page(there.path, summary).read_text().replace("\u00a0", " ")
        header = page[: page.index("</header>")]
        assert header.count("Warning: ") == len(words)
        for warning in words:
            assert f'<p class="headline">Warning: {warning}.</p>' in header


def test_rows_that_were_taken_back_are_said_with_what_is_right_now(tmp_path: Path) -> None:
    there = made(tmp_path)
    revert(there.path, 2, [])
    line = (
        "2 rows were taken back with `burnish revert`. The figures of the rounds still count the changes that were "
        "taken back."
    )
    page = (there.path / "report.html").read_text()
    assert f'<p class="headline">{line} Run the same `burnish refine` again to measure the labels.</p>' in page
    now = Metric(value=0.375, n=8, ci95=(0.137, 0.694))
    lines = said(there, present_accuracy=now)
    assert f"{line} Right labels now: 37.5 % (13.7 to 69.4)." in lines
    (worse,) = [line for line in lines if "got worse" in line]  # the last round still counts 75 %
    assert worse.startswith("warning: the labels got worse: 50.0 % (21.5 to 78.5) were right before, and 37.5 % (13.7")
    assert f"{line}" in said(there, given_accuracy=None)
    # No change of round 2 stands any more.
    assert f"  burnish revert {there.path} --round 1" in lines
    revert(there.path, 1, [])
    assert not [line for line in said(there) if line.startswith("  burnish revert")]


def test_the_next_commands_can_be_pasted(tmp_path: Path) -> None:
    there = made(tmp_path / "a place; with words")
    lines = said(there)
    commands = [shlex.split(line) for line in lines[lines.index("what you can do next:") + 1 :]]
    assert commands == [
        ["burnish", "diff", str(there.path)],
        ["burnish", "show", str(there.path), "r1"],
        ["burnish", "revert", str(there.path), "--round", "2"],
        ["burnish", "push", str(there.path), "OWNER/NAME"],
    ]
    for _, *words in commands[:3]:
        assert CliRunner().invoke(main, words).exit_code == 0


def test_a_row_whose_id_looks_like_an_option_can_be_shown(tmp_path: Path) -> None:
    there = made(tmp_path)
    for name in (EXAMPLES, LEDGER):
        path = there.path / name
        path.write_text(path.read_text().replace('"r1"', '"--r1"'))
    (line,) = [line for line in said(there) if line.startswith("  burnish show")]
    assert line == f"  burnish show {there.path} -- --r1"


def test_without_changes_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    there = made(tmp_path)
    (there.path / LEDGER).unlink()
    lines = said(there, rounds=())
    assert lines[lines.index("what you can do next:") + 1 :] == [
        f"  burnish show {there.path}",
        f"  burnish push {there.path} OWNER/NAME",
    ]


def test_the_report_explains_each_of_its_reasons_with_the_word_of_the_ledger(tmp_path: Path) -> None:
    there = made(tmp_path)
    page = write_page(there.path, there.folder.summary).read_text()
    for word, meaning in (
        ("same answer", "label and proposal give the same answer, so they were not compared (agreed in the ledger)"),
        (
            "no valid answer",
            "there is no proposal, or it has no end or no answer; it was not compared (invalid in the ledger)",
        ),
        ("rejected", "the annotator preferred the label (rejected in the ledger)"),
    ):
        assert f"<dt>{word}</dt><dd>{meaning}</dd>" in page
    assert "<dt>not sure enough</dt>" not in page  # no row has this reason
