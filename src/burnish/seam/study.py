"""An experiment on SEAM: every policy with every reward model. `make seam` runs the configs of it.

The mismatch needs samples and a checker. SEAM is a substitute that is cheaper for some sources. The experiment measures
both, how the mismatch depends on the policy and on the reward model, and how well SEAM follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from burnish.algorithms.seam import Variant, means
from burnish.config import DataConfig, Decoding, ModelConfig, PerturbationSettings, WantedModel
from burnish.config.seam_study import SeamStudy
from burnish.errors import DataError
from burnish.inputs.context import RunContext
from burnish.perturbations import Checker
from burnish.protocols import Backend, Dataset
from burnish.rewards.pairs import GivenPair, GivenPairs
from burnish.rewards.verbs import Workplace, identity_of, preference_rows
from burnish.seam.mismatch import MismatchOptions, mismatch
from burnish.seam.mismatch_report import MismatchReport
from burnish.seam.options import checker_of
from burnish.seam.prompts import Prompts, as_rows
from burnish.seam.results import write_table
from burnish.seam.scoring import Computed, ScoreOptions, compute, context_of
from burnish.seam.study_page import REPORT_FILE, TABLES, render, table_name
from burnish.seam.study_results import SourceResult, StudyCell, StudyResults
from burnish.steps.artifacts import Rows, read_samples
from burnish.steps.basic import Steps
from burnish.steps.rewarding import cut_pairs, train_rewards
from burnish.store.files import pretty, write_atomic
from burnish.store.json_rows import dump_line
from burnish.tasks import make_task
from burnish.types import Artifact, Demonstration, DemonstrationSource, Example, short_hash

RESULTS_FILE, PROMPTS_FILE = "results.json", "prompts.jsonl"
"""The files in the folder of an experiment: the results, and the prompts on which all is measured."""
BASE, REJECTING = "base", "rejected_by"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seed:
    """What is needed to compute the cells of one seed."""

    study: SeamStudy
    context: RunContext
    steps: Steps
    dataset: Dataset
    checker: Checker

    def rows(self, count: int) -> tuple[Rows, tuple[Example, ...]]:
        """Return so many training rows, drawn by seed and id. A smaller number takes a part of a larger one's."""
        examples = {row.id: row for row in self.dataset.train}
        if count > len(examples):
            raise DataError(f"task.train: {len(examples):,} rows, but {count:,} are wanted; raise it")
        # The order is the same for every count, so that smaller sets are parts of larger ones.
        order = sorted(examples, key=lambda id_: short_hash("seam study", str(self.steps.seed), id_))
        chosen = tuple(examples[id_] for id_ in sorted(order[:count]))
        return as_rows(self.steps, Prompts(examples=chosen, bad_rows=0)), chosen

    def policy(self, count: int, field: str = BASE) -> Artifact:
        """Finetune a base model on so many gold rows."""
        rows, _ = self.rows(count)
        base = self.context.model(self.steps, field)
        return self.steps.train(base, rows, self.steps.gold(rows), self.study.train, f"{field} on {count} rows")

    def pairs(self, most: int) -> GivenPairs:
        """Return pairs of a gold answer and a wrong answer of a weaker model, at most `most`."""
        rows, examples = self.rows(len(self.dataset.train))
        model = self.policy(min(self.study.policies), REJECTING)
        decode = Decoding(beams=1, temperature=1.0, max_new_tokens=self.study.max_new_tokens)
        answers = self.steps.answer(model, rows, decode, "pairs", DemonstrationSource.PROPOSAL)
        samples = read_samples(answers)
        order = sorted(examples, key=lambda row: short_hash("seam pairs", str(self.steps.seed), row.id))
        found = tuple(islice(self._pairs(order, samples), most))
        if len(found) < most:
            raise DataError(f"rewards: {most:,} pairs are wanted, but only {len(found):,} answers are wrong")
        return GivenPairs(pairs=found)

    def _pairs(self, order: list[Example], samples: Mapping[str, list[Demonstration]]) -> Iterator[GivenPair]:
        for row in order:
            (one,) = samples[row.id]
            if one.finished and not self.checker.grader.on(row).grade(one.completion).correct:
                assert row.reference is not None, row.id
                yield GivenPair(
                    id=row.id,
                    group=row.group,
                    prompt=row.prompt,
                    chosen=row.reference,
                    rejected=one.completion,
                    source=REJECTING,
                )

    def reward_model(self, most: int) -> Artifact:
        """Train a reward model on so many pairs."""
        given = self.pairs(most)
        cut = cut_pairs(self.steps, preference_rows(given.pairs), identity_of(given), 0.0)
        base, settings = self.context.model(self.steps, BASE), self.study.train_rewards
        return train_rewards(self.steps, base, cut, settings, self.study.centring, f"reward model on {most} pairs")


def run_study(
    study: SeamStudy, store: Path, out: Path, own_backend: Callable[[], Backend] | None = None
) -> StudyResults:
    """Compute all cells of an experiment, and write `results.json` and a page into the folder `out`.

    Finished work is kept in the store, so that the same call continues after a kill. Raises ConfigError for a setting
    that cannot be used, DataError if there are too few rows or pairs, and BackendError if a library is missing.
    """
    dataset, checker = make_task(study.task).load(), checker_of(study.task.kind)
    prompts = out / PROMPTS_FILE
    write_atomic(prompts, b"".join(map(dump_line, map(_as_given, dataset.test))))
    wanted = [WantedModel(BASE, study.base), WantedModel(REJECTING, study.rejected_by)]
    context = context_of(wanted, study.base, study.execution, store, own_backend, out)
    cells: list[StudyCell] = []
    for seed in study.seeds:
        steps = Steps(context.executor(), context.engines, make_task(study.task), study.task.kind, seed)
        work = _Seed(study=study, context=context, steps=steps, dataset=dataset, checker=checker)
        models = {count: work.reward_model(count) for count in study.rewards}
        for rows in study.policies:
            policy = work.policy(rows)
            for pairs, model in models.items():
                place = _Cell(work=work, rows=rows, pairs=pairs, policy=policy, model=model, prompts=prompts)
                cells.append(place.measured(Workplace(store=store, own_backend=own_backend), out))
    results = StudyResults(name=study.name, cells=cells)
    write_atomic(out / RESULTS_FILE, pretty(results.model_dump(mode="json")))
    write_atomic(out / REPORT_FILE, render(results, out).encode("utf-8", errors="backslashreplace"))
    return results


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """A policy with a reward model. `rows` and `pairs` say what they were trained on."""

    work: _Seed
    rows: int
    pairs: int
    policy: Artifact
    model: Artifact
    prompts: Path

    def measured(self, place: Workplace, out: Path) -> StudyCell:
        """Measure the mismatch, and SEAM by each source."""
        study = self.work.study
        found: dict[str, SourceResult] = {}
        report: MismatchReport | None = None
        for source in study.sources:
            table = self._table(source, place)
            name = table_name(self.work.steps.seed, self.rows, self.pairs, source.kind)
            path = write_table(table.rows, out / TABLES / name)
            report = mismatch(self._options(path), place.store, None, place.own_backend)
            average = means(row.score for row in table.rows)
            found[source.kind] = SourceResult(
                mean=average.values[Variant.SEAM],
                undefined=average.undefined,
                correlation=report.policies[0].correlation,
            )
        assert report is not None, study.name
        (policy,) = report.policies
        return StudyCell(
            seed=self.work.steps.seed,
            rows=self.rows,
            pairs=self.pairs,
            right=policy.right,
            mismatch=policy.mismatch,
            sources=found,
        )

    def _table(self, source: PerturbationSettings, place: Workplace) -> Computed:
        study = self.work.study
        options = ScoreOptions(
            data=DataConfig(source=str(self.prompts)),
            policy=ModelConfig(source=self.policy.path),
            reward=ModelConfig(source=self.model.path),
            source=source,
            most=study.worse,
            checker=self.work.checker,
            seed=self.work.steps.seed,
            execution=study.execution,
        )
        return compute(options, place.store, place.own_backend)

    def _options(self, table: Path) -> MismatchOptions:
        study = self.work.study
        return MismatchOptions(
            data=DataConfig(source=str(self.prompts)),
            policies=(ModelConfig(source=self.policy.path),),
            reward=ModelConfig(source=self.model.path),
            checker=self.work.checker,
            samples=study.samples,
            max_new_tokens=study.max_new_tokens,
            against=table,
            seed=self.work.steps.seed,
            execution=study.execution,
        )


def _as_given(row: Example) -> dict[str, object]:
    """Return a test row in a form that the verbs of `seam` read."""
    return {"id": row.id, "question": row.prompt[-1].content, "answer": row.reference}
