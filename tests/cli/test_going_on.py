"""Commands that are printed work when they are copied."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from burnish.cli.common import settled
from burnish.cli.going_on import going_on
from burnish.errors import Paused

CALLS = "15 calls are spent (--max-calls 15); raise --max-calls to go on"
COST = "2 USD are spent and the next call may cost 0.1 (--max-cost 2); raise --max-cost to go on"
LAB = "4 calls are spent (execution.max_calls 4); raise execution.max_calls to go on"


@pytest.mark.parametrize(
    ("words", "message", "right"),
    [
        (["refine", "x", "--max-calls", "15"], CALLS, ["refine", "x", "--max-calls", "30"]),
        (["refine", "--max-calls=15", "--max-cost", "2"], CALLS, ["refine", "--max-calls=30", "--max-cost", "2"]),
        (["refine", "--max-calls", "0"], CALLS, ["refine", "--max-calls", "100"]),
        (["refine", "--max-cost", "0.15"], COST, ["refine", "--max-cost", "0.3"]),
        (["refine", "--max-cost=0"], COST, ["refine", "--max-cost=1"]),
        (["run", "c.yaml"], LAB, ["run", "c.yaml", "--set", "execution.max_calls=8"]),
        (["refine", "--max-calls", "15"], "3 pairs wait for people", ["refine", "--max-calls", "15"]),
    ],
)
def test_the_command_that_goes_on_does_not_repeat_a_spent_limit(
    words: list[str], message: str, right: list[str]
) -> None:
    assert going_on(words, message) == right


def test_it_is_printed_so_that_a_shell_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["burnish", "refine", "my data.jsonl", "--max-calls", "15"])

    @click.command()
    @settled
    def waiting() -> None:
        raise Paused(CALLS, "")

    result = CliRunner().invoke(waiting)
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        f"waiting: {CALLS}",
        "  burnish refine 'my data.jsonl' --max-calls 30",
    ]


def test_people_get_commands_that_work_with_a_space_in_the_path(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from refinement import refine, settings, written

    where = tmp_path / "my folder"
    where.mkdir()
    with pytest.raises(Paused) as stop:
        refine(settings(written(where), annotator="people", no_selftest=True), where)
    export, _, import_, _, new, serve, *_ = stop.value.command.splitlines()
    assert shlex.split(export) == ["burnish", "annotate", "export", str(where / "out"), "--to", "pairs.csv"]
    assert shlex.split(import_) == ["burnish", "annotate", "import", str(where / "out"), "pairs.csv"]
    pages = str(where / "out-study")
    assert shlex.split(new)[2:] == ["new", pages, "--from", str(where / "out"), "--kind", "comparisons"]
    assert shlex.split(serve) == ["burnish", "study", "serve", pages]
    from burnish.cli import main

    result = CliRunner().invoke(main, [*shlex.split(export)[1:-1], str(where / "my pairs.csv")])
    assert result.exit_code == 0, result.output
    assert shlex.split(result.stderr.splitlines()[-1])[-2:] == [str(where / "out"), str(where / "my pairs.csv")]
