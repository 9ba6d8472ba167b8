"""What `run` and `demo` say at their end: the result in sentences, and what comes next."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from markupsafe import escape

from burnish.cli.common import main
from burnish.cli.lab import AFTER_THE_DEMO
from burnish.config import Config
from burnish.config.reading import demo_config
from burnish.lab import running
from burnish.report.cautions import ONE_SEED
from burnish.report.page import render
from burnish.report.words import headline
from burnish.results import Results, read_results, read_timings

FIXTURE = Path(__file__).parents[1] / "fixtures" / "results-v1"


def with_note(results: Results, config: Config) -> Results:
    """The results as a run with this config would leave them: their config has its note."""
    found = results.config
    assert isinstance(found, dict)
    return results.model_copy(update={"config": {**found, "note": config.note}})


def ended(monkeypatch: pytest.MonkeyPatch, results: Results, *arguments: str) -> Result:
    def run(config: Config, *_: Any) -> SimpleNamespace:
        return SimpleNamespace(results=with_note(results, config), out=FIXTURE)

    monkeypatch.setattr(running, "run", run)
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_end_of_the_demo(monkeypatch: pytest.MonkeyPatch, seeds: int) -> None:
    results = read_results(FIXTURE)
    kept = sorted({run.seed for run in results.runs})[:seeds]
    results = results.model_copy(update={"runs": tuple(run for run in results.runs if run.seed in kept)})
    said = ended(monkeypatch, results, "demo").stdout
    lines = said.splitlines()
    assert all(sentence in lines for sentence in headline(results))
    note = demo_config().note
    assert note is not None
    assert "too high for SFT" in note
    assert (ONE_SEED in lines) == (seeds == 1)
    place = lines.index(f"report: {FIXTURE / 'report.html'}")
    assert lines[place - 1 : place + 2] == [note, lines[place], "what you can do next:"]
    assert len(lines) == place + 2 + len(AFTER_THE_DEMO)
    page = render(with_note(results, demo_config()), read_timings(FIXTURE), [], "")
    assert f'<p class="caution">{note}</p>' in page
    assert (escape(ONE_SEED) in page) == (seeds == 1)


def test_nothing_is_said_about_rates_that_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    said = ended(monkeypatch, read_results(FIXTURE), "demo", "--set", "train.learning_rate=5e-4").stdout
    assert "what you can do next:" in said
    assert "too high for SFT" not in said


@pytest.mark.parametrize("command", AFTER_THE_DEMO)
def test_what_comes_next_are_commands_with_these_options(command: str) -> None:
    program, verb, *rest = command.split()
    usage = CliRunner().invoke(main, [verb, "--help"]).stdout
    assert program == "burnish"
    assert usage.startswith(f"Usage: main {verb}")
    assert all(word in usage for word in rest if word.startswith("--"))


def test_with_json_nothing_else_is_on_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    said = ended(monkeypatch, read_results(FIXTURE), "demo", "--json").stdout
    assert said == (FIXTURE / "results.json").read_text()
