"""Which rows a student learns from, known before anything runs: half U of each seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from burnish.algorithms.refinement import split
from burnish.errors import DataError
from burnish.lab.inputs import ExperimentInputs
from burnish.report.text import plural
from burnish.steps.written import demonstrated
from burnish.types import Example


def half_u(inputs: ExperimentInputs, train: Sequence[Example], seeds: Sequence[int]) -> dict[int, Collection[str]]:
    """Return {seed: the ids of half U of the training rows}. They are those of the run.

    If demonstrations come from a file, half U are the rows that have one, for every seed. Raises DataError if a half is
    empty, or if a line of the file fits no row.
    """
    if inputs.demonstrations is not None:
        rows = sorted(train, key=lambda example: example.id)
        found = demonstrated(Path(inputs.demonstrations.path), ((example.id, example) for example in rows))
        return dict.fromkeys(seeds, found.keys())
    groups = {example.id: example.group for example in train}
    halves = {seed: split(groups, seed, 0, "supervision") for seed in seeds}
    if not all(all(two) for two in halves.values()):
        raise DataError(
            f"task: {plural(len(groups), 'training row')} with {plural(len(set(groups.values())), 'different prompt')} "
            "found, but one half of the rows teaches the supervisor and the other half the student, and rows of one "
            "prompt stay together; use training rows with at least 2 different prompts"
        )
    return {seed: second for seed, (_, second) in halves.items()}
