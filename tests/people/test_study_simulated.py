"""Studies of simulated people: the clock of the server runs faster, and the study says so for ever."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from people_at_work import person
from study_pages import DEMONSTRATIONS, browser_at, made_study, served

from burnish.cli import main as cli
from burnish.errors import ConfigError, DataError
from burnish.people.study import clock as clocks
from burnish.people.study.clock import FastClock, is_simulated, now_of, simulated_clock, speeds_of
from burnish.people.study.reading import answers
from burnish.people.study.schema import opened
from burnish.people.study.sittings import arrive
from burnish.people.web.serving import Where, serve


def test_the_clock_runs_faster_and_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([10.0, 12.0])
    monkeypatch.setattr(clocks.time, "monotonic", lambda: next(seconds))
    clock = FastClock(begin=1000.0, speed=30, made=10.0)
    assert [clock(), clock()] == [1000.0, 1060.0]


def test_a_second_simulation_goes_on_after_the_last_time_of_the_first(tmp_path: Path) -> None:
    study = made_study(tmp_path, DEMONSTRATIONS)
    later = time.time() + 100_000
    with closing(opened(study.file)) as db:
        assert (is_simulated(db), speeds_of(db)) == (False, [])
        simulated_clock(db, 20)
        arrive(db, person("ann"), later)
        assert simulated_clock(db, 50)() >= later
        assert now_of(db) >= later
        assert (is_simulated(db), speeds_of(db)) == (True, [20, 50])


def test_real_and_simulated_people_are_never_in_one_study(tmp_path: Path) -> None:
    study = made_study(tmp_path, DEMONSTRATIONS)
    with closing(opened(study.file)) as db:
        arrive(db, person("ann"), time.time())
    with pytest.raises(DataError, match="people took part in this study at real time; make a new study"):
        serve(study, Where(port=0, admin_port=0), lambda _: None, speed=20)
    other = made_study(tmp_path / "other", DEMONSTRATIONS)
    with closing(opened(other.file)) as db:
        simulated_clock(db, 20)
    with pytest.raises(DataError, match="are simulated; serve it with `burnish study serve-simulated`"):
        serve(other, Where(port=0, admin_port=0), lambda _: None)
    said = CliRunner().invoke(cli, ["study", "status", str(other.path)]).stdout
    assert said.startswith("the people of this study are simulated\n")
    assert json.loads(CliRunner().invoke(cli, ["study", "status", str(other.path), "--json"]).stdout)["simulated"]


@pytest.mark.parametrize("speed", [0.5, 5000, float("nan")])
def test_a_speed_out_of_range_is_named(tmp_path: Path, speed: float) -> None:
    study = made_study(tmp_path, DEMONSTRATIONS)
    with pytest.raises(ConfigError, match=r"--speed: .* is out of range; write a number from 1 to 1000"):
        serve(study, Where(port=0, admin_port=0), lambda _: None, speed=speed)


@pytest.mark.slow
def test_the_times_of_a_simulation_are_those_of_the_servers_clock(tmp_path: Path) -> None:
    study = made_study(tmp_path, DEMONSTRATIONS)
    with served(study, speed=1000) as pages:
        browser = browser_at(pages.start)
        begin = time.monotonic()
        page = browser.send(browser.get("/start?participant=ann"))
        time.sleep(0.07)
        browser.send(page, text="An answer.")
        most = 1000 * (time.monotonic() - begin)
    with study.opened_to_read() as db:
        (one,) = answers(db)
        assert 70 <= one.seconds <= most
        assert not one.early
