"""`orders`: each measured model is trained with its rows in several orders, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment import TEST, gold, small

from burnish.backends.fake import SKILL, FakeBackend
from burnish.config import Config, TrainSettings
from burnish.errors import ConfigError
from burnish.lab.inputs import resolve
from burnish.lab.running import Finished, planned, run
from burnish.report.page import write_report
from burnish.results import read_prompt_grades
from burnish.stats import variance_components, wilson
from burnish.steps.orders import RowOrder
from burnish.store.stages import Store
from burnish.types import Artifact, TrainingRow, short_hash

METHODS: list[dict[str, Any]] = [{"kind": "sft"}, {"kind": "ilr", "rounds": 1}, {"kind": "dpo", "rounds": 1}]


class Shaken(FakeBackend):
    """Its skill after a training depends on the seed of the training, as that of a real model does."""

    def train(
        self,
        model: Artifact,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        seed: int,
        into: Path,
        checkpoints: int = 0,
    ) -> int:
        tokens = super().train(model, rows, settings, seed, into, checkpoints)
        skill = json.loads((into / SKILL).read_text())
        luck = int(short_hash("luck", str(seed)), 16) / 2**64 - 0.5
        (into / SKILL).write_text(json.dumps(min(max(skill + 0.2 * luck, 0.05), 0.95)))
        return tokens


def stages(config: Config, where: Path) -> dict[str, str]:
    """{fingerprint: label} of all stages of a plan."""
    records = planned(config, resolve(config, offline_ok=False), Store(where))
    return {record.fingerprint: record.stage.label for record in records}


def finished(config: Config, where: Path) -> Finished:
    return run(config, where / "out", where / "store", backend=lambda: Shaken(gold()))


def test_more_orders_only_add_trainings_answers_and_grades(tmp_path: Path) -> None:
    one, three = stages(small(methods=METHODS), tmp_path), stages(small(methods=METHODS, orders=3), tmp_path)
    assert {key: three.get(key) for key in one} == one
    added = [label for key, label in three.items() if key not in one]
    trained = [label for label in added if "answers" not in label and "grades" not in label]
    # SFT is round 0 of every method, so it is trained once an order.
    assert sorted(trained) == sorted(
        f"seed 0 order {number} {what}" for number in (2, 3) for what in ("sft", "ilr round 1", "dpo round 1")
    )
    # Each of the six is trained, answers and is graded.
    assert len(added) == 18


def test_the_usual_order_is_not_written_and_keeps_its_seed() -> None:
    assert "orders" not in small().model_dump()
    assert small(orders=2).model_dump()["orders"] == 2
    assert (RowOrder(7).training_seed, RowOrder(7).identity) == (7, {})
    others = {RowOrder(seed, number).training_seed for seed in (0, 7) for number in (1, 2)}
    assert len(others) == 4
    assert all(0 <= seed < 2**31 for seed in others)
    for wrong in (0, 1.5, "two"):
        with pytest.raises((ConfigError, ValueError)):
            small(orders=wrong)


@pytest.mark.slow
def test_results_have_every_order_and_average_over_them(tmp_path: Path) -> None:
    done = finished(small(methods=METHODS[:2], orders=3, seeds=[0, 1]), tmp_path)
    results, grades = done.results, read_prompt_grades(done.out)
    assert grades is not None
    assert [len(ids) for ids in grades.prompts] == [TEST]
    for found in results.runs:
        row = grades.of((found.method, found.round))[found.seed]
        shares = [text.count("1") / TEST for text in row.right]
        accuracy = found.metrics["test_accuracy"]
        assert accuracy.value == pytest.approx(sum(shares) / len(shares))
        assert accuracy.n == TEST
        if found.method == "weak":
            assert (len(shares), found.by_order) == (1, ())
            assert accuracy.ci95 == wilson(round(shares[0] * TEST), TEST).ci95
        else:
            assert found.by_order == tuple(shares)
            assert len({*shares}) > 1  # another order is another model
    right = {
        seed: [[int(text[p]) for p in range(TEST)] for text in row.right] for seed, row in grades.of(("sft", 0)).items()
    }
    expected = {c.name: c for c in variance_components([[[right[0], right[1]]]]) if c.variance is not None}
    noise = {row.source: row for row in results.noise if (row.method, row.round) == ("sft", 0)}
    assert {"seed", "order", "prompt"} < {*noise} == {*expected}
    assert {name: row.variance for name, row in noise.items()} == pytest.approx(
        {name: c.variance for name, c in expected.items()}
    )


@pytest.mark.slow
def test_differences_are_those_of_the_means_over_orders(tmp_path: Path) -> None:
    results = finished(small(methods=METHODS[:2], orders=2), tmp_path).results
    value = {(found.method, found.round): found.metrics["test_accuracy"].value or 0.0 for found in results.runs}
    row = results.paired_row("test_accuracy", ("ilr", 1), ("sft", 0))
    assert row is not None
    assert row.difference == pytest.approx(value["ilr", 1] - value["sft", 0])
    assert row.ci95 is not None
    assert row.ci95[0] < row.difference < row.ci95[1]


@pytest.mark.slow
def test_the_page_shows_where_the_noise_comes_from(tmp_path: Path) -> None:
    out = finished(small(methods=METHODS[:1], orders=2, seeds=[0, 1]), tmp_path).out
    text = write_report(out).read_text()
    assert "Where the noise of test accuracy comes from" in text
    assert "order of rows" in text
