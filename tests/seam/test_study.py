"""The experiment on SEAM, on the fake backend: all cells are there, nothing is computed twice, and pages show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from refinement import fake
from rewarding import Misjudging

from burnish.backends.fake import FakeBackend
from burnish.config import Config
from burnish.config.seam_study import AnyStudy, MismatchStudy, SeamStudy
from burnish.config.yaml_text import read_yaml
from burnish.errors import DataError
from burnish.results import Metric
from burnish.seam.experiments_page import part_of, render
from burnish.seam.options import checker_of
from burnish.seam.study import run_mismatch
from burnish.seam.study_claims import ClaimVerdict, JudgedClaim
from burnish.seam.study_results import StudyResults, over_seeds
from burnish.tasks import make_task

ROOT = Path(__file__).parent.parent.parent


def study(**more: Any) -> MismatchStudy:
    given: dict[str, Any] = {
        "kind": "mismatch",
        "name": "tiny",
        "task": {"kind": "sums", "train": 60, "test": 12},
        "base": "builtin:strong",
        "rejected_by": "builtin:weak",
        "rejected_rows": 5,
        "policies": [5, 40],
        "rewards": [3, 6],
        "sources": [{"kind": "own", "samples": 4}, {"kind": "adversarial"}],
        "worse": 3,
        "samples": 6,
        "train": {"epochs": 1, "learning_rate": 1e-3, "batch_size": 8, "lora": None},
        "train_rewards": {"epochs": 1, "learning_rate": 1e-3, "batch_size": 8, "lora": None},
        "seeds": [0, 1],
    }
    return MismatchStudy.model_validate(given | more)


def backend(settings: SeamStudy, units: list[str] | None = None) -> FakeBackend:
    checker, dataset = checker_of("sums"), make_task(settings.task).load()
    gold: dict[str, str] = {}
    for row in (*dataset.train, *dataset.test):
        answer = checker.grader.on(row).extract(row.reference or "")
        assert answer is not None
        gold[row.prompt[-1].content] = answer.text
    return Misjudging(gold, (lambda _: None) if units is None else units.append)


@pytest.mark.slow
def test_every_policy_meets_every_reward_model_and_nothing_is_computed_twice(tmp_path: Path) -> None:
    settings, units = study(), list[str]()
    made = backend(settings, units)
    found = run_mismatch(settings, tmp_path / "store", tmp_path / "out", lambda: made)
    assert [(cell.seed, cell.rows, cell.pairs) for cell in found.cells] == [
        (seed, rows, pairs) for seed in (0, 1) for rows in (5, 40) for pairs in (3, 6)
    ]
    assert (found.rows, found.pairs, found.sources) == ([5, 40], [3, 6], ["adversarial", "own"])
    # Per seed: two policies and the model that writes rejected answers, and two reward models.
    assert (units.count("train"), units.count("train_rewards")) == (2 * 3, 2 * 2)
    units.clear()
    assert run_mismatch(settings, tmp_path / "store", tmp_path / "out", lambda: made) == found
    assert units == []
    assert StudyResults.model_validate_json(found.model_dump_json()) == found
    for cell in found.cells:
        assert cell.mismatch.value is not None
        assert cell.off_policy.value is not None
        assert cell.sources["adversarial"].mean is not None
        assert cell.sources["own"].undefined < 12
    first = over_seeds([cell for cell in found.cells if cell.pairs == 3], lambda cell: cell.mismatch.value)
    assert first.n == 4


@pytest.mark.slow
def test_the_page_has_the_numbers_and_needs_no_other_file(tmp_path: Path) -> None:
    settings = study(seeds=[0])
    made = backend(settings)
    found = run_mismatch(settings, tmp_path / "store", tmp_path / "out", lambda: made)
    undecided = JudgedClaim(
        id="x",
        words="It grows.",
        margin=0.1,
        below=False,
        seen=False,
        measured=Metric(value=0.1, n=2, ci95=(0.0, 0.2)),
        verdict=ClaimVerdict.OPEN,
    )
    page = render("mine", [part_of(found, tmp_path / "out", [undecided])])
    assert "<b>cannot be told apart</b>: It grows. Measured: 0.100 (0.000 to 0.200)." in page
    cell = found.cells[0]
    assert cell.mismatch.value is not None
    assert f"{100 * cell.mismatch.value:.1f}" in page
    for word in ("SEAM of the prompts", "Mismatch over SEAM", "rewarded over the gold answer"):
        assert word in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_too_few_rows_and_pairs_are_named(tmp_path: Path) -> None:
    few = study(rejected_rows=61, seeds=[0])
    with pytest.raises(DataError, match=r"task\.train: 60 rows, but 61 are wanted"):
        run_mismatch(few, tmp_path / "store", tmp_path / "out", fake)
    many = study(rewards=[59], seeds=[0])
    made = backend(many)
    with pytest.raises(DataError, match="rewards: 59 pairs are wanted, but only"):
        run_mismatch(many, tmp_path / "store", tmp_path / "out", lambda: made)


def test_the_configs_can_be_read() -> None:
    for path in sorted((ROOT / "configs" / "seam").glob("*.yaml")):
        values = read_yaml(path.read_text(), path.name)
        assert isinstance(values, dict)
        kind: TypeAdapter[SeamStudy | Config] = TypeAdapter(AnyStudy if "kind" in values else Config)
        settings = kind.validate_python(values)
        assert len(settings.seeds) >= 3
        assert settings.name == f"seam-{path.stem}"
