"""The bar of a run with workers: how many stages are finished, and the time that is left."""

from __future__ import annotations

import io
import re

from rich.console import Console
from screens import Screen

from burnish.report.terminal import Terminal


def test_a_run_with_workers_has_one_bar_with_the_time_that_is_left() -> None:
    screen = Screen()
    with screen.terminal.run("2 workers: stages", 40, 12) as finished:
        assert "12/40" in screen.last
        for screen.now in (10.0, 20.0):
            finished(lambda: 300.0)
        screen.terminal.say("[13/40] seed 0 train: finished in 10 s")
        screen.now = 50.0
    # The estimate is 30 s old.
    assert "2 workers: stages" in screen.last
    assert "14/40" in screen.last
    assert "run: 0:04:30 left" in screen.last
    assert screen.last.count("left") == 1
    plain_text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.written.getvalue())
    assert "[13/40] seed 0 train: finished in 10 s\n" in plain_text


def test_a_run_with_workers_whose_time_is_unknown_shows_how_long_it_has_run() -> None:
    screen = Screen()
    with screen.terminal.run("2 workers: stages", 40, 0) as finished:
        screen.now = 12.0
        finished(lambda: None)
    assert "1/40" in screen.last
    assert "for 0:00:12" in screen.last
    assert "left" not in screen.last


def test_off_a_terminal_a_run_with_workers_has_no_bar() -> None:
    def refuse() -> float:
        raise AssertionError("asked for nothing")

    written = io.StringIO()
    terminal = Terminal(console=Console(file=written, force_terminal=False))
    with terminal.run("2 workers: stages", 40, 0) as finished:
        finished(refuse)
    assert written.getvalue() == ""
