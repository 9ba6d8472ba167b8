"""An experiment says what it sends to servers on other machines, in a dry run and before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from experiment import TEST, run_small, small
from servers import FaultServer

from burnish.cli import main
from burnish.config import Config
from burnish.lab.running import plan
from burnish.services import elsewhere

AWAY: dict[str, Any] = {"kind": "judge", "base_url": "https://judge.example.com/v1", "model": "m", "api_key_env": None}
HOST = "sent to judge.example.com, which is not on this machine"


def annotated(annotator: dict[str, Any], **changes: Any) -> Config:
    return small(supervision={"annotator": annotator}, methods=[{"kind": "ilr", "rounds": 1}], **changes)


def test_a_judge_of_win_rates_gets_references_and_an_annotator_does_not(tmp_path: Path) -> None:
    assert plan(annotated(AWAY), tmp_path).sent == (
        f"{HOST} (supervision.annotator): the prompts and both answers of at most 40 comparisons. References are not "
        "sent.",
    )
    # The weak model and SFT are compared with references.
    assert plan(small(judge=AWAY, methods=[{"kind": "sft"}]), tmp_path).sent == (
        f"{HOST} (judge): the prompts and both answers of at most {2 * TEST} comparisons. References are sent, too.",
    )


RL = {"kind": "rl", "steps": 2, "prompts": 4, "samples": 2}


@pytest.mark.parametrize(
    ("method", "comparisons"),
    [
        # Two rounds of ILR with one comparison of each of 40 rows.
        (RL | {"reward": "checker", "after": {"kind": "ilr", "rounds": 2}}, 80),
        # The same, and three pairs of each row.
        ({"kind": "dpo", "rounds": 1, "after": {"kind": "ilr", "rounds": 2}}, 200),
        # 2 steps of 4 x 2 answers, and at most 256 answers that give the scale of the rewards.
        (RL | {"reward": "annotator"}, 16 + 256),
        (RL | {"reward": "annotator", "standardize": False}, 16),
    ],
)
def test_the_number_of_comparisons_is_an_upper_bound(tmp_path: Path, method: dict[str, Any], comparisons: int) -> None:
    (line,) = plan(small(supervision={"annotator": AWAY}, methods=[method]), tmp_path).sent
    assert f"at most {comparisons} comparisons" in line


def test_nothing_is_said_where_nothing_leaves_the_machine(tmp_path: Path) -> None:
    assert plan(annotated(AWAY | {"base_url": "http://localhost:1/v1"}), tmp_path).sent == ()
    assert plan(small(), tmp_path).sent == ()


def test_a_server_of_embeddings_is_said(tmp_path: Path) -> None:
    differs = {"kind": "embedding_server", "base_url": "https://vectors.example/v1", "model": "m"}
    (line,) = plan(small(differs=differs), tmp_path).sent
    assert line == (
        "sent to vectors.example, which is not on this machine (differs): both answers of the compared training rows, "
        "without their prompts, in 3 rounds. References are not sent."
    )


def test_the_dry_run_of_a_file_begins_with_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(annotated(AWAY).model_dump(mode="json")))
    done = CliRunner().invoke(main, ["run", str(path), "--dry-run", "--store", str(tmp_path / "store")])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{HOST} (supervision.annotator): ")


@pytest.mark.slow
def test_a_run_says_it_before_the_server_is_asked_and_not_when_all_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(elsewhere, "is_here", lambda host: False)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    with FaultServer(rule=lambda _: {"A": 1.0}) as running:
        config = annotated(AWAY | {"base_url": running.address})
        run_small(config, tmp_path)
        first = capsys.readouterr().err.splitlines()[0]
        run_small(config, tmp_path)
    assert first.startswith("sent to 127.0.0.1:")
    assert "the prompts and both answers of at most 40 comparisons" in first
    assert "sent to" not in capsys.readouterr().err
