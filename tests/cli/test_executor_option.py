"""`burnish run --executor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from burnish.cli import lab, main
from burnish.config import Config
from burnish.config.executors import SubmititExecutor
from burnish.errors import ConfigError
from burnish.lab import executors


@pytest.mark.parametrize(
    "changes",
    [
        ["execution.executor.cluster=local", "execution.executor.minutes=5"],
        ["execution.executor.cluster=local", "execution.executor.minutes=5", "execution={workers: 2}"],
        ["execution.executor={kind: ray}", "execution.executor.cluster=local", "execution.executor.minutes=5"],
    ],
)
def test_settings_of_the_executor_that_is_asked_for_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: list[str]
) -> None:
    ran: list[Config] = []

    def noted(config: Config, *_: Any) -> None:
        ran.append(config)

    monkeypatch.setattr(lab, "_run", noted)
    (tmp_path / "a.yaml").write_text((Path(lab.__file__).parents[1] / "demo.yaml").read_text())
    options = [word for change in changes for word in ("--set", change)]
    done = CliRunner().invoke(main, ["run", str(tmp_path / "a.yaml"), "--executor", "submitit", *options])
    assert done.exit_code == 0, done.output
    assert ran[0].execution.executor == SubmititExecutor(kind="submitit", cluster="local", minutes=5)


def test_a_dry_run_says_that_the_cluster_is_not_there_after_the_plan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def planned(*_: Any, **__: Any) -> None:
        click.echo("the plan")

    def refused(executor: object) -> None:
        raise ConfigError("execution.executor.address: no Ray cluster answers")

    monkeypatch.setattr(lab, "_print_plan", planned)
    monkeypatch.setattr(executors, "check_reachable", refused)
    (tmp_path / "a.yaml").write_text((Path(lab.__file__).parents[1] / "demo.yaml").read_text())
    done = CliRunner().invoke(main, ["run", str(tmp_path / "a.yaml"), "--executor", "ray", "--dry-run"])
    assert (done.exit_code, done.stdout) == (2, "the plan\n")
    assert done.stderr == "error: execution.executor.address: no Ray cluster answers\n"
