"""The stage in which several answers to one prompt vote."""

from __future__ import annotations

from itertools import chain

from burnish.algorithms.comparisons import most_voted
from burnish.steps.artifacts import DEMONSTRATIONS, read_samples
from burnish.steps.refining import Parts, numbered
from burnish.steps.setting import Setting
from burnish.store.files import pretty, write_atomic, write_rows
from burnish.store.stages import Work
from burnish.tasks.answers import graders
from burnish.types import Artifact

SHARES = "shares.json"
"""The file with each row's share of votes."""


def vote(setting: Setting, samples: Parts, k: int) -> Artifact:
    """Keep for each row the first sample with the most frequent answer, and the share of samples that give it."""
    task = setting.steps.task

    def run(work: Work) -> None:
        every = dict(sorted((id_, drawn) for part in samples for id_, drawn in read_samples(part).items()))
        grader_of = graders(task, setting.rows.examples(), chain.from_iterable(every.values()))
        chosen = {id_: most_voted(grader_of(id_), drawn) for id_, drawn in every.items()}
        write_atomic(work.path / SHARES, pretty({id_: share for id_, (_, share) in chosen.items()}))
        work.count(rows=write_rows(work.path / DEMONSTRATIONS, (demonstration for demonstration, _ in chosen.values())))

    config, inputs = {"task": setting.steps.task_kind}, numbered("samples", samples)
    return setting.steps.stage("vote", config, inputs, run, f"round {k} votes")
