"""A user's program: as annotator, as checker, as what tells answers apart; and what is said where it fails."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from refinement import CAP, COUNT, WRONG_LABELS, refine, right, right_labels, rows, script, settings, written

from burnish.annotators.program import CheckerAnnotator, ProgramAnnotator
from burnish.errors import AnnotatorError, ConfigError
from burnish.services.program import Program, converse
from burnish.types import (
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    Order,
    Preference,
    Reason,
    Role,
)

USER = Message(role=Role.USER, content="what?")
EXAMPLES = {str(i): Example(id=str(i), group=str(i), prompt=(USER,)) for i in range(200)}
Make = Callable[[str], list[str]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a program whose body follows."""
    return lambda body: script(tmp_path, "program.py", body)


def side(id_: str, text: str) -> Demonstration:
    return Demonstration(example_id=id_, completion=text, source=DemonstrationSource.GIVEN)


def pairs(count: int) -> list[Comparison]:
    return [Comparison(example_id=str(i), a=side(str(i), f"a{i}"), b=side(str(i), f"b{i}")) for i in range(count)]


def judged(command: list[str], count: int = 4, done: frozenset[str] = frozenset()) -> dict[str, Preference]:
    units = ProgramAnnotator(Program(command=tuple(command), field="annotator.command"), EXAMPLES).judge(
        pairs(count), done
    )
    return {preference.comparison_id: preference for unit in units for preference in unit}


def p_bs(found: dict[str, Preference], count: int = 4) -> list[float | None]:
    return [found[one.id].p_b for one in pairs(count)]


# --- verdicts


def test_a_program_sees_the_request_and_both_orders(make: Make, tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = judged(
        make(f"""
        with open({str(log)!r}, "w") as log:
            for row in rows:
                log.write(json.dumps(row) + "\\n")
                say(row["id"], verdict="second" if row["second"][0] == "b" else "first")
        """),
        2,
    )
    asked = [json.loads(line) for line in log.read_text().splitlines()]
    first, second = (one.id for one in pairs(2))
    assert asked == [
        {"id": f"{first}:ab", "prompt": "what?", "first": "a0", "second": "b0"},
        {"id": f"{first}:ba", "prompt": "what?", "first": "b0", "second": "a0"},
        {"id": f"{second}:ab", "prompt": "what?", "first": "a1", "second": "b1"},
        {"id": f"{second}:ba", "prompt": "what?", "first": "b1", "second": "a1"},
    ]
    assert [(one.shown, one.raw, one.p_b) for one in found.values()] == [(tuple(Order), (1.0, 0.0), 1.0)] * 2


def test_several_turns_name_who_speaks() -> None:
    turns = (Message(role=Role.SYSTEM, content="be kind"), USER)
    annotator = ProgramAnnotator(
        Program(
            command=(sys.executable, "-c", "import sys; sys.stderr.write(sys.stdin.read()); sys.exit(1)"),
            field="annotator.command",
        ),
        {"0": Example(id="0", group="", prompt=turns)},
    )
    with pytest.raises(AnnotatorError, match=r'"prompt":"system: be kind\\n\\nuser: what\?"'):
        list(annotator.judge(pairs(1), set()))


@pytest.mark.parametrize(
    ("said", "p_b"),
    [
        ({"verdict": "first"}, 0.5),  # always the first one shown: no preference
        ({"verdict": "second"}, 0.5),
        ({"verdict": "tie"}, 0.5),
        ({"verdict": "abstain"}, None),
        ({"p_second": 0.25}, 0.5),
        ({"p_second": 1}, 0.5),
        ({"p_second": 0.5, "verdict": "abstain", "why": "extra fields are passed over"}, 0.5),
    ],
)
def test_what_a_program_may_say(make: Make, said: dict[str, Any], p_b: float | None) -> None:
    assert p_bs(judged(make(f"for row in rows: say(row['id'], **{said!r})"))) == [p_b] * 4


def test_probabilities_of_both_orders_are_averaged(make: Make) -> None:
    body = "for row in rows: say(row['id'], p_second={'a': 0.1, 'b': 0.7}[row['second'][0]])"
    assert p_bs(judged(make(body))) == pytest.approx([0.8] * 4)  # 0.7, and 0.1 turned back to 0.9


def test_what_is_left_out_is_an_abstention(make: Make) -> None:
    body = "for number, row in enumerate(rows):\n    if number not in (1, 4, 5): say(row['id'], verdict='tie')"
    found = judged(make(body))
    assert p_bs(found) == [None, 0.5, None, 0.5]
    assert [found[one.id].raw for one in pairs(4)] == [(0.5,), (0.5, 0.5), (), (0.5, 0.5)]


def test_answers_may_come_in_any_order_late_twice_and_for_nobody(make: Make) -> None:
    body = """
        say("nobody:ab", verdict="tie")
        say("", verdict="tie")
        print()
        for row in reversed(list(rows)):
            say(row["id"], verdict="second" if row["second"][0] == "b" else "first")
            say(row["id"], verdict="second" if row["second"][0] == "b" else "first")
        """
    assert p_bs(judged(make(body))) == [1.0] * 4


def test_a_program_that_ends_early_abstains_on_the_rest(make: Make) -> None:
    body = "import itertools\nfor row in itertools.islice(rows, 3): say(row['id'], verdict='tie')"
    found = judged(make(body), 200)  # more than a pipe holds
    assert Counter(p_bs(found, 200)) == {0.5: 1, None: 199}


def test_much_on_both_pipes_does_not_get_stuck(make: Make) -> None:
    body = "sys.stderr.write('x' * 10**6)\nfor row in rows: say(row['id'], verdict='tie', why='y' * 10**4)"
    assert set(p_bs(judged(make(body), 200), 200)) == {0.5}


def test_nothing_to_ask_asks_nothing(make: Make) -> None:
    assert judged(make("assert not list(rows)"), 0) == {}


# --- what goes wrong


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print('well, the first')", r"line 1 that '.*' wrote is b'well, the first\\n'; write one JSON object a line"),
        ("print('[1]')", "line 1 .* write one JSON object a line with the `id`"),
        ("print('{}')", "line 1 .* with the `id`"),
        ("say(7, verdict='tie')", "line 1 .* with the `id`"),
        (
            "for row in rows: say(row['id'], verdict='A')",
            "verdict 'A' found for .*:ab; write first, tie, second, abstain",
        ),
        ("for row in rows: say(row['id'])", "verdict None found"),
        ("for row in rows: say(row['id'], verdict=['first'])", r"verdict \['first'\] found"),
        ("for row in rows: say(row['id'], p_second=1.5)", "p_second 1.5 found for .*; write a number from 0 to 1"),
        ("for row in rows: say(row['id'], p_second='1')", "p_second '1' found"),
        ("for row in rows: say(row['id'], p_second=True)", "p_second True found"),
        ("for row in rows: say(row['id'], p_second=None)", "p_second None found"),
        ("for row in rows: say(row['id'], p_second=float('nan'))", "line 1 that"),
        ("sys.exit('out of memory')", "ended with status 1: out of memory; .*run"),
        ("sys.exit(7)", "ended with status 7: nothing on stderr"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with status -9"),
    ],
)
def test_a_program_that_fails(make: Make, body: str, words: str) -> None:
    with pytest.raises(AnnotatorError, match=f"annotator.command: .*{words}"):
        judged(make(body))


@pytest.mark.parametrize("command", [["./no-such-program"], ["/"], ["/etc/hostname"]])
def test_a_program_that_cannot_be_run(command: list[str]) -> None:
    with pytest.raises(AnnotatorError, match=r"annotator.command: '.*' cannot be run \(.*\); give a program"):
        judged(command)


def test_a_reader_that_stops_early_ends_the_program(make: Make, tmp_path: Path) -> None:
    body = "import os, time\nsay('x', pid=os.getpid())\ntime.sleep(60)"
    answers = converse(Program(command=tuple(make(body)), field="field"), [{"id": "x"}], lambda answer: answer["pid"])
    pid = next(answers)[1]
    answers.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert not Path(f"/proc/{pid}").exists() or sys.platform != "linux"


def test_what_was_answered_before_a_failure_is_not_asked_again(tmp_path: Path) -> None:
    log, broken = tmp_path / "log", tmp_path / "broken"
    broken.touch()
    command = script(
        tmp_path,
        "judge.py",
        f"""
        import os
        for number, row in enumerate(rows):
            if number == 21 and os.path.exists({str(broken)!r}):
                sys.exit("no network")
            with open({str(log)!r}, "a") as log:
                log.write(row["id"] + "\\n")
            first, second = (row[side] == "#### " + RIGHT[row["prompt"]] for side in ("first", "second"))
            say(row["id"], p_second=(1 + second - first) / 2)
        """,
    )
    judge = {"kind": "command", "command": command}
    config = settings(written(tmp_path), annotator=judge, no_selftest=True, rounds=1)
    with pytest.raises(AnnotatorError, match="no network"):
        refine(config, tmp_path)
    assert len(log.read_text().split()) == 21
    broken.unlink()
    found = refine(config, tmp_path)
    asked = Counter(log.read_text().split())
    assert len(asked) == 2 * found.summary.rounds[0].compared
    assert {id_ for id_, times in asked.items() if times > 1} == {list(asked)[20]}  # whose other order was missing
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP


def test_an_edited_program_is_another_annotator(tmp_path: Path) -> None:
    source, body = written(tmp_path), "for row in rows: say(row['id'], verdict='tie')"
    judge = {"kind": "command", "command": script(tmp_path, "judge.py", body)}
    refine(settings(source, annotator=judge, no_selftest=True), tmp_path)
    script(tmp_path, "judge.py", f"{body}  # in another mood")
    with pytest.raises(ConfigError, match="another refinement"):
        refine(settings(source, annotator=judge, no_selftest=True), tmp_path)


# --- checkers


def checked(command: list[str], comparisons: Sequence[Comparison], done: frozenset[str] = frozenset()) -> Iterator[Any]:
    for unit in CheckerAnnotator(Program(command=tuple(command), field="method.checker"), EXAMPLES).judge(
        comparisons, done
    ):
        yield from (preference.p_b for preference in unit)


def test_a_checker_prefers_what_passes_where_the_other_fails(make: Make) -> None:
    body = "for row in rows: say(row['id'], passed=row['answer'].startswith('good'))"
    sides = [("bad", "good"), ("good", "bad"), ("good", "good!"), ("bad", "bad!")]
    four = [Comparison(example_id=str(i), a=side(str(i), a), b=side(str(i), b)) for i, (a, b) in enumerate(sides)]
    assert list(checked(make(body), four)) == [1.0, 0.0, 0.5, 0.5]


def test_a_checker_that_leaves_an_answer_out_abstains(make: Make) -> None:
    body = "for row in rows:\n    if row['answer'] != 'b0': say(row['id'], passed=True)"
    assert list(checked(make(body), pairs(2))) == [0.5, None]
    assert list(checked(make(body), pairs(2), frozenset({pairs(2)[0].id}))) == [0.5]


def test_a_checker_that_says_something_else(make: Make) -> None:
    body = "for row in rows: say(row['id'], passed='yes')"
    with pytest.raises(AnnotatorError, match=r"method.checker: passed 'yes' found for .*:a; write true or false"):
        list(checked(make(body), pairs(2)))


# --- programs that tell answers apart


@pytest.mark.slow
def test_a_program_says_which_answers_differ(tmp_path: Path) -> None:
    command = script(
        tmp_path,
        "differs.py",
        """
        for row in rows:
            assert set(row) == {"id", "prompt", "current", "proposal"}, row
            if not row["prompt"].startswith("ann"):
                say(row["id"], differs=row["proposal"] == "#### " + RIGHT[row["prompt"]])
        """,
    )
    differs = {"kind": "command", "command": command}
    source = written(tmp_path, [row | {"gold": f"#### {row['gold']}"} for row in rows()])  # texts are compared here
    config = settings(source, f"differs={json.dumps(differs)}", differs=None, alpha=1.0, rounds=1)
    found = refine(config, tmp_path)
    questions = {example.id: example.prompt[0].content for example in found.examples}
    seen: Counter[Reason] = Counter()
    for line in found.ledger:
        kept, proposal = (found.answers[one].completion for one in (line.kept, line.proposed))
        question = questions[line.example_id]
        if kept == proposal:
            expected = Reason.AGREED
        elif question.startswith("ann"):
            expected = Reason.NOT_COMPARED  # the program said nothing
        else:
            expected = Reason.ACCEPTED if right(question, proposal) else Reason.AGREED
        assert line.reason is expected, (line, question)
        seen[expected] += 1
    assert len(seen) == 3


def test_a_program_that_does_not_say_yes_or_no(tmp_path: Path) -> None:
    command = script(tmp_path, "differs.py", "for row in rows: say(row['id'], differs=0.5)")
    config = settings(written(tmp_path), f"differs={json.dumps({'kind': 'command', 'command': command})}", differs=None)
    with pytest.raises(AnnotatorError, match=r"differs.command: differs 0.5 found for row-.*; write true or false"):
        refine(config, tmp_path)
