"""The settings of the paper's human study, and the small ones that run here: both can be read and planned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.config import Config, DpoMethod, FileDemonstrations, IlrMethod, InstructionsTask
from burnish.config.reading import read_config
from burnish.lab.running import plan
from burnish.tasks import make_task

CONFIGS = Path(__file__).parents[2] / "configs"


def rows(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def configured(name: str) -> Config:
    return read_config(CONFIGS / f"{name}.yaml")


def test_the_human_study_is_the_papers() -> None:
    """Section 6 and D.3: two rounds of 1,000 comparisons for each method, and the values that were tried."""
    config = configured("human-study")
    assert isinstance(config.task, InstructionsTask)
    assert config.task.safety == config.task.safety_test == ()
    assert isinstance(config.supervision.demonstrations, FileDemonstrations)
    assert (config.supervision.annotator.kind, config.models.weak) == ("people", None)
    assert config.budget.limit == 1000
    ilr = [one for one in config.methods if isinstance(one, IlrMethod)]
    dpo = [one for one in config.methods if isinstance(one, DpoMethod)]
    assert [(one.alpha, one.rounds) for one in ilr] == [(0.1, 2), (0.2, 1), (0.3, 1)]
    assert {one.keep for one in dpo} == {0.1, 0.2, 0.3, 0.4, 0.8}
    assert {one.beta for one in dpo} == {0.01, 0.1, 0.5}
    # One pair a prompt, and at least moderate confidence for both methods.
    assert {one.samples for one in dpo} == {2}
    assert {one.gate for one in (*ilr, *dpo)} == {5 / 6}
    # Everything else asks about the pairs of the first ILR and the first DPO.
    assert all(one.rounds == 1 or one.pairs_beta == 0.1 for one in dpo[1:])


@pytest.mark.slow
def test_the_human_study_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alpaca = [{"instruction": f"Do {n}", "input": f"With {n}", "output": f"Done {n}"} for n in range(20)]
    monkeypatch.setenv("ALPACA", rows(tmp_path / "alpaca.jsonl", alpaca))
    test = [{"instruction": f"Held out {n}", "output": "Done"} for n in range(5)]
    monkeypatch.setenv("ALPACA_EVAL", rows(tmp_path / "eval.jsonl", test))
    people = [{"prompt": f"Do {n}\n\nWith {n}", "completion": f"People did {n}"} for n in range(10)]
    monkeypatch.setenv("DEMONSTRATIONS", rows(tmp_path / "people.jsonl", people))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = configured("human-study")
    found = plan(config, tmp_path / "store")
    names = [stage.name for stage in found.stages]
    # People: round 1 of ILR and of DPO, and round 2 of both, whatever the other settings are. The judge: each of the
    # models of SFT, of the two rounds of ILR and of three values of beta, and of the six settings with one round.
    assert names.count("judge") == 4 + (1 + 2 + 2 * 3 + 6)
    assert "written" in names
    assert len(make_task(config.task).load().train) == 20


@pytest.mark.slow
def test_the_small_human_study_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "people.jsonl"
    monkeypatch.setenv("DEMONSTRATIONS", str(path))
    config = configured("human-study-small")
    train = make_task(config.task).load().train
    rows(path, [{"prompt": one.prompt[-1].content, "completion": "People wrote it."} for one in train])
    names = [stage.name for stage in plan(config, tmp_path / "store").stages]
    assert names.count("judge") == 4
