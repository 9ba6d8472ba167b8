"""Runs with workers that ask servers, people and programs: one stage at a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiment import fake, gold, small
from servers import FaultServer
from working import DECODE, faked, ran, run_command

from burnish.config import Config
from burnish.errors import Paused
from burnish.lab.running import run
from burnish.people.mailbox import Annotation, Mailbox, Said
from burnish.services.calls import CALLS, Calls
from burnish.types import short_hash

# --- servers, people and programs


def judged(annotator: dict[str, Any], workers: int, **execution: Any) -> Config:
    return small(
        supervision={"annotator": annotator},
        methods=[{"kind": "ilr", "rounds": 1}, {"kind": "naive", "rounds": 1}, {"kind": "dpo", "rounds": 1}],
        seeds=[0, 1, 2],
        decode=DECODE,
        execution={"workers": workers, **execution},
    )


@pytest.mark.slow
def test_workers_together_stay_within_the_budget_of_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And they ask one at a time: with one call at a time, the server never has two."""
    faked(monkeypatch)
    under_way: list[int] = []
    most = 0

    def rule(_: str) -> dict[str, float]:
        nonlocal most
        under_way.append(0)
        most = max(most, len(under_way))
        time.sleep(0.002)
        under_way.pop()
        return {"A": 0.75, "B": 0.25}

    with FaultServer(rule=rule) as server:
        annotator = {"kind": "judge", "base_url": server.address, "model": "m", "api_key_env": None, "concurrency": 1}
        with pytest.raises(Paused, match="9 calls are spent"):
            ran(judged(annotator, 3, max_calls=9), tmp_path)
        name = short_hash("experiment", "small")
        assert sum(server.answered.values()) == Calls(tmp_path / "store" / CALLS).spent(name, None).calls == 9
        together = ran(judged(annotator, 3, max_calls=10_000), tmp_path)
        assert set(server.answered.values()) == {1}
        assert most == 1
        run(judged(annotator, 1), tmp_path / "alone", tmp_path / "store-alone", backend=fake)
    assert (together / "results.json").read_bytes() == (tmp_path / "alone" / "results.json").read_bytes()


def judged_by_people(where: Path, attempt: Callable[[], object]) -> int:
    """Repeat a run, and answer what it asks, until it waits no more. Returns how often it waited."""
    right, mailbox = gold(), Mailbox(where / "out")
    for pauses in range(12):
        try:
            attempt()
        except Paused:
            answers: list[Annotation] = []
            for ask in mailbox.asked():
                first, second = (text == f"#### {right[ask.request]}" for text in (ask.first, ask.second))
                said = Said.TIE if first == second else Said.FIRST if first else Said.SECOND
                answers.append(Annotation(id=ask.id, said=said, by="ada", shown=ask.shown))
            assert answers
            mailbox.answer(answers)
        else:
            return pauses
    raise AssertionError("it waits for ever")


@pytest.mark.slow
def test_people_judge_for_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pairs of all methods and seeds wait together, as with one process. In the end the results are the same."""
    faked(monkeypatch)
    config, alone, two = judged({"kind": "people"}, 2), tmp_path / "alone", tmp_path / "two"
    two.mkdir()
    assert run_command(config, two, monkeypatch) == 3
    said = capsys.readouterr().err.partition("waiting: ")[2].splitlines()
    assert said[0] == f"{len(Mailbox(two / 'out').asked())} pairs wait for people"
    assert said[1].strip() == f"burnish annotate export {two / 'out'} --to pairs.csv"
    pauses = judged_by_people(two, lambda: ran(config, two))
    one = judged({"kind": "people"}, 1)
    assert pauses == judged_by_people(alone, lambda: run(one, alone / "out", alone / "store", backend=fake)) == 1
    assert (alone / "out" / "results.json").read_bytes() == (two / "out" / "results.json").read_bytes()


@pytest.mark.slow
def test_a_program_is_run_once_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails if another copy of it runs."""
    faked(monkeypatch)
    place = tmp_path / "busy"
    program = tmp_path / "judge.py"
    program.write_text(
        "import json, os, sys, time\n"
        f"os.mkdir({str(place)!r})\n"
        "for line in sys.stdin:\n"
        "    print(json.dumps({'id': json.loads(line)['id'], 'verdict': 'first'}), flush=True)\n"
        "time.sleep(0.2)\n"
        f"os.rmdir({str(place)!r})\n"
    )
    command = {"kind": "command", "command": [sys.executable, str(program)]}
    out = ran(judged(command, 3), tmp_path)
    assert (out / "results.json").is_file()
