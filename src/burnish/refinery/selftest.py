"""The self-test of a refinement's annotator on the dataset's own rows. It runs before anything else is spent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson
from pydantic import JsonValue

from burnish.refinery.job import Job
from burnish.selftest.asking import check, selftest
from burnish.selftest.drawing import drawn_ids
from burnish.selftest.planted import plant, planted_examples
from burnish.selftest.report import SelftestReport
from burnish.steps.artifacts import TEMPERATURE, read_demonstrations
from burnish.store.files import pretty, write_atomic
from burnish.store.runners import StageRecord
from burnish.store.stages import Work
from burnish.types import Artifact, TrainingRow

SELFTEST = "selftest.json"
"""The file of the stage that holds the report."""


def testable(job: Job) -> bool:
    """Say whether planted pairs can test the annotator: the method must ask it, and each kind in it must be
    testable."""
    if job.annotator is None or job.config.selftest.skip or not job.config.method.asks_annotator:
        return False
    return all(annotator.self_tested for annotator in job.config.annotators)


def tried(job: Job) -> Artifact | None:
    """Plant pairs among some rows and ask the annotator about them. Returns None if the annotator is not tested. Raises
    AnnotatorError if it leaves a pair without a preference."""
    annotator, settings = job.annotator, job.config.selftest
    if annotator is None or not testable(job):
        return None
    data, seed = job.data, job.config.seed

    def run(work: Work) -> None:
        # Without references: an annotator must not see the right answer.
        examples, answers = job.rows.prompts_only(), read_demonstrations(data)
        ids = drawn_ids(examples, settings.pairs, seed)
        rows = [TrainingRow(id=id_, prompt=examples[id_].prompt, completion=answers[id_].completion) for id_ in ids]
        planted = plant(rows, seed)
        report = selftest(annotator.over(planted_examples(rows)), planted, tell=work.tell)
        write_atomic(work.path / SELFTEST, pretty(report.model_dump(mode="json")))
        # A file of its own, because the steps of a round read it and know nothing of reports.
        temperature = None if report.calibration is None else report.calibration.temperature
        write_atomic(work.path / TEMPERATURE, pretty({"temperature": temperature}))
        work.count(comparisons=len(planted))

    # The settings of all members of a vote are in the fingerprint: another member is another annotator.
    votes: list[JsonValue] = [dict(member.config) for member in annotator.members]
    asked: dict[str, JsonValue] = {**annotator.config, "of": votes}
    semantic: dict[str, JsonValue] = {"pairs": settings.pairs, "seed": seed, "annotator": asked}
    # Without held-out rows these are all rows, as they were before rows could be held out.
    semantic |= job.rows.config if job.rows.parts else {}
    inputs = {**job.rows.inputs, **annotator.inputs}
    return job.steps.stage("selftest", semantic, inputs, run, "self-test")


def still_to_run(records: Iterable[StageRecord]) -> bool:
    """Say whether a plan has a self-test that is not finished yet."""
    return any(record.stage.name == "selftest" and not record.reused for record in records)


def read_report(artifact: Artifact) -> SelftestReport:
    """Read the report of a self-test."""
    return SelftestReport.model_validate(orjson.loads((Path(artifact.path) / SELFTEST).read_bytes()))


def passed(job: Job, tested: Artifact) -> SelftestReport:
    """Return the report. Raises AnnotatorError if the accuracy is below the threshold and the user did not ask to
    continue."""
    report = read_report(tested)
    check(report, job.config.selftest)  # its error has the same lines as the report below
    for line in report.words():
        job.context.terminal.say(line)
    return report
