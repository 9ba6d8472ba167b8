"""`make seam`: what it writes of an experiment, and the page that joins all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from burnish.results import Metric
from burnish.seam.arm_results import ArmResult, ArmResults, PolicyAnswers, StepPoint
from burnish.seam.experiments_page import REPORT_FILE, part_of, render
from burnish.seam.study_claims import JudgedClaim
from burnish.seam.study_results import RESULTS_FILE
from burnish.seam.study_run import verdicts_on

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from make_seam import (
    CLAIMS_FILE,
    COST_FILE,
    ROOT,
    commit_study,
    cost_words,
    counted,
    read_study,
    registered,
    write_joined,
)
from write_findings import seam_table


def answers(sampled: float) -> PolicyAnswers:
    share = Metric(value=sampled, n=9, ci95=None)
    return PolicyAnswers(sampled=share, greedy=share, mismatch=share)


def selection() -> ArmResults:
    """Return three seeds in which SEAM is 10 points above all prompts, and as good as random ones."""
    arms = [
        ArmResult(
            seed=seed,
            policy=300,
            reward="4,000 pairs",
            arm=arm,
            prompts=60,
            off_policy=Metric(value=0.7, n=9, ci95=None),
            before=answers(0.3),
            # The difference varies a little over seeds. Without that there is no interval.
            after=answers(after + seed / 100 + (seed - 1) / 1000 * (arm == "seam-60")),
            steps=2,
            curve=[StepPoint(step=step, reward=0.1 * step, accuracy=0.3, kl=0.1) for step in (1, 2)],
        )
        for seed in range(3)
        for arm, after in (("all", 0.3), ("seam-60", 0.4), ("random-60", 0.4))
    ]
    return ArmResults(name="seam-selection", arms=arms)


@pytest.mark.slow
def test_results_verdicts_and_the_joined_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, work, results = selection(), tmp_path / "work", tmp_path / "results"
    own = work / found.name
    own.mkdir(parents=True)
    (own / RESULTS_FILE).write_text(found.model_dump_json())
    (own / REPORT_FILE).write_text(render(found.name, [part_of(found, own)]))
    commit_study(found, own, results / found.name)
    verdicts = {one["id"]: one["verdict"] for one in json.loads((results / found.name / CLAIMS_FILE).read_bytes())}
    assert verdicts["selection-gains-as-in-the-paper"] == "holds"
    assert verdicts["selection-beats-random"] == "fails"
    # This arm has no results.
    assert verdicts["selection-beats-reverse"] == "open"
    assert set(verdicts) == {claim.id for claim in registered() if claim.experiment == found.name}
    assert "held: RL on the 60 %" in capsys.readouterr().out
    write_joined(work, results)
    page = (results / REPORT_FILE).read_text()
    assert "<b>held</b>: RL on the 60 % of prompts with the lowest SEAM ends at least 4.5 points" in page
    assert "0.100 (0.098 to 0.102)" in page
    assert "<script" not in page


def test_every_session_is_counted_also_one_that_fails(tmp_path: Path) -> None:
    log = tmp_path / "new" / COST_FILE
    for _ in range(2):
        with pytest.raises(ValueError, match="stop"), counted(log):
            raise ValueError("stop")
    assert [set(one) for one in json.loads(log.read_bytes())] == [{"cpu_seconds"}] * 2


def test_the_time_of_child_processes_counts(tmp_path: Path) -> None:
    with counted(tmp_path / "a" / COST_FILE):
        subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    ((session,),) = [json.loads(file.read_bytes()) for file in tmp_path.glob(f"*/{COST_FILE}")]
    assert session["cpu_seconds"] > 0


def test_all_sessions_together(tmp_path: Path) -> None:
    for name, seconds in (("a", [3600, 900]), ("b", [1800])):
        (tmp_path / name).mkdir()
        (tmp_path / name / COST_FILE).write_text(json.dumps([{"cpu_seconds": one} for one in seconds]))
    assert cost_words(tmp_path) == "1.75 CPU hours in 3 sessions of 2 experiments"


def test_an_experiment_without_results_lists_its_claims(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("write_findings.RESULTS", tmp_path)
    assert "without results so far" in seam_table("seam-selection")
    found, folder = selection(), tmp_path / "seam-embedded" / "seam-selection"
    folder.mkdir(parents=True)
    for name in (RESULTS_FILE, REPORT_FILE):
        (tmp_path / name).write_text("")
    commit_study(found, tmp_path, folder)
    assert "| held | 0.100 (0.098 to 0.102) |" in seam_table("seam-selection")


def test_the_committed_verdicts_are_what_the_committed_results_say() -> None:
    for file in sorted((ROOT / "docs" / "results" / "seam-embedded").glob(f"*/{CLAIMS_FILE}")):
        found = read_study(file.parent)
        written = TypeAdapter(list[JudgedClaim]).validate_json(file.read_bytes())
        assert written == verdicts_on(found, registered()), f"{found.name}: stale: run make seam"
