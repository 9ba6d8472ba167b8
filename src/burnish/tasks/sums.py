"""The task of the embedded experiment: generated stories with sums that are simple enough for the built-in models."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.config import SumsTask
from burnish.protocols import Dataset
from burnish.tasks.numbers import SumAnswers
from burnish.tasks.rows import Counts, TaskRow, dataset
from burnish.tasks.sums_world import Problem, generate

KIND = "sums"


@dataclass(frozen=True, slots=True)
class Sums(SumAnswers):
    """Rows of a generated world. The first ones are for training, the next ones for testing. No question repeats."""

    config: SumsTask

    def load(self) -> Dataset:
        """Return both splits. The same config always gives the same rows."""
        config = self.config
        # The training rows are the first of the world, so they do not depend on the number of test rows.
        rows = [
            _row(number, problem) for number, problem in enumerate(generate(config.train + config.test, config.world))
        ]
        return dataset(
            KIND,
            rows[: config.train],
            rows[config.train :],
            Counts(source=f"world {config.world}", train=config.train, test=config.test),
        )


def _row(number: int, problem: Problem) -> TaskRow:
    return TaskRow(
        where=f"generated row {number}",
        id=None,
        question=problem.question,
        reference=problem.solution,
        metadata={},
    )
