"""The embedded experiment's task: generated stories with sums, small enough for the built-in models."""

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
    """The first rows of a generated world are for training, the next ones for testing; no question is there twice."""

    config: SumsTask

    def load(self) -> Dataset:
        """Return both splits; the same config always gives the same rows."""
        config = self.config
        # Another number of test rows leaves the training rows as they are, because these are the first of the world.
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
