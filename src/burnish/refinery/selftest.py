"""The self-test of a refinement's annotator on its own rows, before anything else is spent."""

from __future__ import annotations

from pathlib import Path

import orjson
from pydantic import JsonValue

from burnish.refinery.job import Job
from burnish.selftest.asking import check, selftest
from burnish.selftest.drawing import drawn_ids
from burnish.selftest.planted import plant, planted_examples
from burnish.selftest.report import SelftestReport
from burnish.steps.artifacts import read_demonstrations
from burnish.store.files import pretty, write_atomic
from burnish.store.stages import Work
from burnish.types import Artifact, TrainingRow

SELFTEST = "selftest.json"


def testable(job: Job) -> bool:
    """Say whether planted pairs test the annotator: the method asks it, and every kind in it can be tested."""
    if job.annotator is None or job.config.selftest.skip or not job.config.method.asks_annotator:
        return False
    return all(one.self_tested for one in job.config.annotators)


def tried(job: Job) -> Artifact | None:
    """Plant pairs among some rows and ask the annotator; None where it is not tested."""
    annotator, settings = job.annotator, job.config.selftest
    if annotator is None or not testable(job):
        return None
    data, seed = job.data, job.config.seed

    def run(work: Work) -> None:
        examples, given = job.rows.prompts_only(), read_demonstrations(data)
        ids = drawn_ids(examples, settings.pairs, seed)
        rows = [TrainingRow(id=id_, prompt=examples[id_].prompt, completion=given[id_].completion) for id_ in ids]
        planted = plant(rows, seed)
        report = selftest(annotator.over(planted_examples(rows)), planted)
        write_atomic(work.path / SELFTEST, pretty(report.model_dump(mode="json")))
        work.count(comparisons=len(planted))

    votes: list[JsonValue] = [dict(member.config) for member in annotator.members]
    asked: dict[str, JsonValue] = {**annotator.config, "of": votes}
    semantic: dict[str, JsonValue] = {"pairs": settings.pairs, "seed": seed, "annotator": asked}
    return job.steps.stage("selftest", semantic, {"data": data, **annotator.inputs}, run, "self-test")


def read_report(artifact: Artifact) -> SelftestReport:
    """Read what a self-test found."""
    return SelftestReport.model_validate(orjson.loads((Path(artifact.path) / SELFTEST).read_bytes()))


def passed(job: Job, tested: Artifact) -> SelftestReport:
    """Return the report; raises AnnotatorError where it is below the threshold and nobody said to go on."""
    report = read_report(tested)
    check(report, job.config.selftest)  # its error says the same
    for line in report.words():
        job.context.terminal.say(line)
    return report
