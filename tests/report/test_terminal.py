"""What people see while stages run: lines off a terminal, bars and the time that is left on one."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from experiment import fake, run_small, small
from rich.console import Console
from screens import Screen

from burnish.errors import Paused
from burnish.lab import running
from burnish.report.heartbeat import SECONDS, heartbeat
from burnish.report.terminal import Terminal
from burnish.store.course import Course, StagePosition
from burnish.store.runners import Executor, Planner, planned_stages
from burnish.store.stages import Stage, Store, Work

STAGE = re.compile(r"\[(\d+)/(\d+)\] (.+): (started|finished in [\d.]+ s)")


class Minutes:
    """A clock that only the heartbeat moves: so many waits of a minute, and then one until the stage is over."""

    def __init__(self, count: int) -> None:
        self.now, self.left = 0.0, count
        self.go, self.passed = threading.Event(), threading.Event()

    def clock(self) -> float:
        return self.now

    def wait(self, over: threading.Event, seconds: float) -> bool:
        assert self.go.wait(30)
        if self.left == 0:
            self.passed.set()
            return over.wait(30)
        self.left -= 1
        self.now += seconds
        return False

    def pass_by(self) -> None:
        """Let the minutes pass."""
        self.go.set()
        assert self.passed.wait(30)


def plain(minutes: Minutes) -> tuple[Terminal, io.StringIO]:
    """Return a terminal that writes into a file, and the file."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=False, soft_wrap=True, highlight=False)
    return Terminal(console=console, clock=minutes.clock, wait=minutes.wait), written


def beating() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


# --- off a terminal


def test_a_stage_says_when_it_starts_and_ends_and_every_minute(capsys: pytest.CaptureFixture[str]) -> None:
    minutes = Minutes(2)
    terminal, written = plain(minutes)
    with terminal.stage("seed 0 \x1b[31mtrain", StagePosition(number=3, total=17)):
        terminal.start("training", 1200)
        terminal.advance(40)
        minutes.pass_by()
    assert written.getvalue().splitlines() == [
        "[3/17] seed 0 train: started",
        "[3/17] seed 0 train: under way for 1 min 00 s; training: 40 of 1,200",
        "[3/17] seed 0 train: under way for 2 min 00 s; training: 40 of 1,200",
        "[3/17] seed 0 train: finished in 2 min 00 s",
    ]
    assert written.getvalue().isascii()
    assert beating() == []
    assert capsys.readouterr().out == ""


def test_without_a_plan_or_a_count_neither_is_said() -> None:
    minutes = Minutes(1)
    terminal, written = plain(minutes)
    terminal.start("measuring", 5)  # outside of a stage nothing is shown
    terminal.advance(5)
    terminal.rows(1, 5)
    with terminal.stage("self-test"):
        minutes.pass_by()
    assert written.getvalue().splitlines() == [
        "self-test: started",
        "self-test: under way for 1 min 00 s",
        "self-test: finished in 1 min 00 s",
    ]


@pytest.mark.parametrize("backend", [False, True])
def test_rows_are_counted_unless_a_backend_counts_its_own_work(backend: bool) -> None:
    minutes = Minutes(1)
    terminal, written = plain(minutes)
    with terminal.stage("judgements"):
        terminal.rows(20, 50)
        if backend:
            terminal.start("comparing", 100, 40)
            terminal.advance(10)
        terminal.rows(25, 50)
        minutes.pass_by()
    found = "comparing: 50 of 100" if backend else "25 of 50"
    assert written.getvalue().splitlines()[1] == f"judgements: under way for 1 min 00 s; {found}"


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), Paused("people are asked", "")])
def test_a_stage_that_is_broken_off_says_so_and_its_heartbeat_stops(error: BaseException) -> None:
    minutes = Minutes(1)
    terminal, written = plain(minutes)

    def broken_off() -> None:
        with terminal.stage("train"):
            minutes.pass_by()
            raise error

    with pytest.raises(type(error)):
        broken_off()
    assert written.getvalue().splitlines()[-1] == "train: stopped after 1 min 00 s"
    assert beating() == []
    # Counts of the stage that is over do not show up in the next one.
    terminal.advance(1)
    with terminal.stage("next"):
        pass
    assert written.getvalue().splitlines()[-2:] == ["next: started", "next: finished in 0.0 s"]


def test_a_log_that_cannot_be_written_does_not_end_the_work() -> None:
    tried = threading.Event()

    def beat() -> None:
        tried.set()
        raise OSError("no space left on device")

    with heartbeat(beat, lambda over, seconds: False):
        assert tried.wait(30)
    assert beating() == []


WORK = """
from burnish.report.terminal import Terminal
terminal = Terminal()
with terminal.stage("train"):
    terminal.say("a line")
print("done")
"""


@pytest.mark.parametrize("where", ["a full disk", "a pipe that nobody reads"])
def test_a_stderr_that_cannot_be_written_does_not_end_the_work(where: str) -> None:
    if where == "a full disk":
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        handle = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, handle = os.pipe()
        os.close(reader)
    done = subprocess.run([sys.executable, "-c", WORK], stdout=subprocess.PIPE, stderr=handle, check=False)
    os.close(handle)
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_the_heartbeat_comes_every_minute() -> None:
    asked: list[float] = []

    def wait(over: threading.Event, seconds: float) -> bool:
        asked.append(seconds)
        return True

    with heartbeat(lambda: None, wait):
        pass
    assert asked == [SECONDS] == [60.0]


def test_a_log_gets_no_control_characters_even_if_colours_are_forced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.setenv(name, "1")
    with Terminal().stage("train"):
        pass
    found = capsys.readouterr()
    assert found.out == ""
    assert re.fullmatch(r"train: started\ntrain: finished in \d\.\d s\n", found.err)


def double(number: int) -> Stage:
    def run(work: Work) -> None:
        work.expect(3, 1)
        work.append_batches("rows.jsonl", lambda _: [[1], [2]], lambda batch: {"rows": len(batch)})

    return Stage(name="double", version=1, config={"n": number}, inputs={}, run=run, label=f"double {number}")


def test_the_runner_numbers_stages_and_counts_the_rows_of_each(tmp_path: Path) -> None:
    class Counting(Terminal):
        def rows(self, done: int, total: int) -> None:
            counted.append((done, total))

    counted: list[tuple[int, int]] = []
    written = io.StringIO()
    terminal = Counting(console=Console(file=written, force_terminal=False, soft_wrap=True), clock=lambda: 0.0)
    store = Store(tmp_path)
    Executor(store, terminal, {}).run(double(2))  # without a plan
    planner = Planner(store)
    for number in (1, 2, 3):
        planner.run(double(number))
    course = Course(planned_stages(planner.records))
    course.announce(terminal.say)
    executor = Executor(store, terminal, {}, course=course)
    for number in (1, 2, 3, 4):
        executor.run(double(number))
    assert written.getvalue().splitlines() == [
        "double 2: started",
        "double 2: finished in 0.0 s",
        "1 of 3 stages are finished already and are reused",
        "[1/3] double 1: started",
        "[1/3] double 1: finished in 0.0 s",
        "[3/3] double 3: started",
        "[3/3] double 3: finished in 0.0 s",
        "double 4: started",  # it was not planned
        "double 4: finished in 0.0 s",
    ]
    assert counted == [(1, 3), (2, 3), (3, 3)] * 4


def test_an_experiment_says_each_stage_that_it_computes_and_reused_ones_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw_nothing(*_: object) -> None: ...

    for drawn in ("write_figures", "write_report"):
        monkeypatch.setattr(running, drawn, draw_nothing)
    config = small(methods=[{"kind": "sft"}])
    run_small(config, tmp_path, fake())
    found = capsys.readouterr()
    assert found.out == ""
    lines = [STAGE.fullmatch(line) for line in found.err.splitlines()]
    total = len(json.loads((tmp_path / "out" / "timings.json").read_text())["stages"])
    said = [(int(line[1]), int(line[2]), line[4].split()[0]) for line in lines if line]
    assert None not in lines
    assert said == [(number, total, word) for number in range(1, total + 1) for word in ("started", "finished")]
    run_small(config, tmp_path, fake())
    again = capsys.readouterr()
    assert again.err == f"{total} of {total} stages are finished already and are reused\n"


# --- on a terminal


def test_a_terminal_shows_the_time_that_is_left_in_the_stage_and_in_the_run() -> None:
    screen = Screen()
    with screen.terminal.stage("seed 0 train", StagePosition(number=3, total=17, expected=30.0, rest=600.0)):
        screen.terminal.start("training", 100)
        screen.terminal.advance(10)
        screen.now = 10.0
        screen.terminal.advance(10)
    # 10 steps in 10 s, so the 80 steps that are missing take 80 s, and the other stages 600 s.
    assert "[3/17] seed 0 train: training" in screen.last
    assert "20/100" in screen.last
    assert "0:01:20 left" in screen.last
    assert "run: 0:11:20 left" in screen.last
    assert "started" not in screen.written.getvalue()


@pytest.mark.parametrize("width", [80, 60])
def test_a_narrow_terminal_has_one_line_with_all_numbers(width: int) -> None:
    screen = Screen(width)
    label = "refined round 2 without part 2, which has a long name"
    with screen.terminal.stage(label, StagePosition(number=12, total=19, expected=30.0, rest=600.0)):
        screen.terminal.start("training", 1000)
        screen.terminal.advance(100)
        screen.now = 10.0
        screen.terminal.advance(100)
    assert len(screen.last) <= width
    assert screen.last.endswith("200/1000 0:01:20 left run: 0:11:20 left")
    assert width < 80 or "[12/19] refined round" in screen.last


def test_before_rows_tell_anything_earlier_stages_do() -> None:
    screen = Screen()
    with screen.terminal.stage("train", StagePosition(number=3, total=17, expected=30.0, rest=600.0)):
        screen.now = 10.0
    assert screen.last.count("left") == 1
    assert "run: 0:10:20 left" in screen.last


@pytest.mark.parametrize(
    "position", [None, StagePosition(number=1, total=2), StagePosition(number=1, total=2, rest=5.0)]
)
def test_where_nothing_is_known_no_time_is_shown(position: StagePosition | None) -> None:
    screen = Screen()
    with screen.terminal.stage("train", position):
        screen.now = 10.0
        screen.terminal.start("training", 100)
        screen.terminal.advance(10)  # a single step has no speed
    assert "10/100" in screen.last
    assert "left" not in screen.last
    assert "-:--:--" not in screen.last


def test_rows_of_an_earlier_run_cost_no_time_and_do_not_count_in_the_speed() -> None:
    screen = Screen()
    with screen.terminal.stage("answers"):
        screen.terminal.rows(900, 1000)
        for screen.now in (10.0, 20.0):
            screen.terminal.rows(900 + int(screen.now / 10), 1000)
    # One row in 10 s: 98 rows are left.
    assert "902/1000" in screen.last
    assert "0:16:20 left" in screen.last
