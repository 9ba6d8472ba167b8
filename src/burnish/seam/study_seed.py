"""What the experiments on SEAM train for one seed: policies and reward models, each on its own number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from burnish.algorithms.rewards import accuracy_of
from burnish.config import DataConfig, Decoding, ModelConfig, PerturbationSettings, WantedModel, WeakerSource
from burnish.config.seam_study import SeamStudy
from burnish.errors import DataError
from burnish.inputs.context import RunContext
from burnish.perturbations import Checker
from burnish.protocols import Backend, Dataset
from burnish.results import Metric
from burnish.rewards.pairs import GivenPair, GivenPairs
from burnish.rewards.verbs import Workplace, identity_of, preference_rows
from burnish.seam.options import checker_of
from burnish.seam.prompts import Prompts, as_rows
from burnish.seam.scoring import Computed, ScoreOptions, compute, context_of
from burnish.steps.artifacts import Rows, read_samples
from burnish.steps.basic import Steps
from burnish.steps.rewarding import cut_pairs, reward, rewarded_pairs, tested_rows, train_rewards
from burnish.store.files import write_atomic
from burnish.store.json_rows import dump_line
from burnish.tasks import make_task
from burnish.types import Artifact, Demonstration, DemonstrationSource, Example, short_hash

BASE, REJECTING, REWARDING = "base", "rejected_by", "reward_base"
"""The config fields of the policies' base model, of the model whose wrong answers make pairs, and of the base model of
the reward models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySeed:
    """One seed of an experiment. The `kept` rows at the end of the seed's order train no policy before RL and no reward
    model.

    Every method that needs rows or pairs raises DataError if there are too few.
    """

    study: SeamStudy
    context: RunContext
    steps: Steps
    dataset: Dataset
    checker: Checker
    place: Workplace
    out: Path
    kept: int = 0

    def ordered(self) -> list[Example]:
        """Return the training rows in the order of a seeded hash."""
        # The order is the same for every count, so that smaller sets are parts of larger ones.
        return sorted(self.dataset.train, key=lambda row: short_hash("seam study", str(self.steps.seed), row.id))

    def first(self, count: int) -> tuple[Example, ...]:
        """Return so many rows from the beginning of the order, sorted by id. None of them is kept for something
        else."""
        return self._cut(self.ordered()[: len(self.dataset.train) - self.kept][:count], count)

    def last(self, count: int, before: int = 0) -> tuple[Example, ...]:
        """Return so many rows from the end of the order, sorted by id. `before` rows at the very end are left out."""
        order = self.ordered()
        return self._cut(order[max(0, len(order) - before - count) : len(order) - before], count)

    def _cut(self, rows: list[Example], count: int) -> tuple[Example, ...]:
        if len(rows) < count:
            kept = f", of which {self.kept:,} are kept" if self.kept else ""
            raise DataError(f"task.train: {len(self.dataset.train):,} rows{kept}, but {count:,} are wanted; raise it")
        return tuple(sorted(rows, key=lambda row: row.id))

    def rows(self, examples: tuple[Example, ...]) -> Rows:
        """Return examples as rows that stages read."""
        return as_rows(self.steps, Prompts(examples=examples, bad_rows=0))

    def policy(self, count: int, field: str = BASE) -> Artifact:
        """Finetune a base model on so many gold rows."""
        rows = self.rows(self.first(count))
        base = self.context.model(self.steps, field)
        return self.steps.train(base, rows, self.steps.gold(rows), self.study.train, f"{field} on {count} rows")

    def pairs(self, most: int) -> GivenPairs:
        """Return pairs of a gold answer and a wrong answer of a weaker model, at most `most`."""
        found = tuple(islice(self._pairs(self.first(len(self.dataset.train) - self.kept)), most))
        if len(found) < most:
            raise DataError(f"rewards: {most:,} pairs are wanted, but only {len(found):,} answers are wrong")
        return GivenPairs(pairs=found)

    def _pairs(self, examples: tuple[Example, ...]) -> Iterator[GivenPair]:
        count = self.study.answers_a_prompt
        model = self.policy(self.study.rejected_rows, REJECTING)
        decode = Decoding(beams=1, temperature=1.0, max_new_tokens=self.study.max_new_tokens)
        source = DemonstrationSource.PROPOSAL
        samples = read_samples(self.steps.answer(model, self.rows(examples), decode, "pairs", source, samples=count))
        order = sorted(examples, key=lambda row: short_hash("seam pairs", str(self.steps.seed), row.id))
        wrong = {row.id: self._wrong(row, samples) for row in order}
        # The first pair of every prompt comes first, so that few pairs have many prompts.
        for number in range(count):
            for row in order:
                if number < len(wrong[row.id]):
                    assert row.reference is not None, row.id
                    yield GivenPair(
                        id=row.id if number == 0 else f"{row.id}:{number}",
                        group=row.group,
                        prompt=row.prompt,
                        chosen=row.reference,
                        rejected=wrong[row.id][number],
                        source=REJECTING,
                    )

    def _wrong(self, row: Example, samples: Mapping[str, list[Demonstration]]) -> list[str]:
        grader = self.checker.grader.on(row)
        texts = dict.fromkeys(one.completion for one in samples[row.id] if one.finished)
        return [text for text in texts if not grader.grade(text).correct]

    def reward_model(self, given: GivenPairs, name: str = "") -> Artifact:
        """Train a reward model on pairs. `name` tells two models with as many pairs apart."""
        cut = cut_pairs(self.steps, preference_rows(given.pairs), identity_of(given), 0.0)
        base, settings = self.context.model(self.steps, REWARDING), self.study.train_rewards
        label = f"reward model on {len(given.pairs)} pairs{name and f' ({name})'}"
        return train_rewards(self.steps, base, cut, settings, self.study.centring, label)

    def off_policy(self, model: Artifact, examples: tuple[Example, ...]) -> Metric:
        """Return a reward model's accuracy on pairs of examples that it did not see, made as those that it saw."""
        given = GivenPairs(pairs=tuple(self._pairs(examples)))
        cut = cut_pairs(self.steps, preference_rows(given.pairs), identity_of(given), 1.0)
        tested, _ = rewarded_pairs(cut, reward(self.steps, model, tested_rows(cut), "of held-out pairs"))
        return Metric.of(accuracy_of(tested))

    def table(
        self, examples: Path, policy: Artifact, model: Artifact, source: PerturbationSettings, worse: int
    ) -> Computed:
        """Return the table of SEAM of a file of prompts."""
        if isinstance(source, WeakerSource):
            # The base model of the config answers nothing useful before it is finetuned.
            weaker = self.policy(self.study.rejected_rows, REJECTING)
            source = source.model_copy(update={"model": ModelConfig(source=weaker.path)})
        options = ScoreOptions(
            data=DataConfig(source=str(examples)),
            policy=ModelConfig(source=policy.path),
            reward=ModelConfig(source=model.path),
            source=source,
            most=worse,
            checker=self.checker,
            seed=self.steps.seed,
            execution=self.study.execution,
        )
        return compute(options, self.place.store, self.place.own_backend)

    def write_prompts(self, name: str, examples: tuple[Example, ...]) -> Path:
        """Write examples in a form that the verbs of `seam` read, and return the path of the file."""
        path = self.out / name
        write_atomic(path, b"".join(map(dump_line, map(_as_given, examples))))
        return path


def _as_given(row: Example) -> dict[str, object]:
    return {"id": row.id, "question": row.prompt[-1].content, "answer": row.reference}


def study_seeds(
    study: SeamStudy, store: Path, out: Path, own_backend: Callable[[], Backend] | None, kept: int = 0
) -> Iterator[StudySeed]:
    """Yield each seed of an experiment. Work is kept in `store`, and tables are written into the folder `out`."""
    dataset, checker = make_task(study.task).load(), checker_of(study.task.kind)
    wanted = [WantedModel(BASE, study.base), WantedModel(REJECTING, study.rejected_by)]
    wanted.append(WantedModel(REWARDING, study.reward_base or study.base))
    context = context_of(wanted, study.base, study.execution, store, own_backend, out)
    for seed in study.seeds:
        yield StudySeed(
            study=study,
            context=context,
            steps=Steps(context.executor(), context.engines, make_task(study.task), study.task.kind, seed),
            dataset=dataset,
            checker=checker,
            place=Workplace(store=store, own_backend=own_backend),
            out=out,
            kept=kept,
        )
