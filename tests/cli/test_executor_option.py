"""`burnish run --executor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from burnish.cli import lab, main
from burnish.config import Config
from burnish.config.executors import SubmititExecutor


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
