"""The experiments on SEAM: `make seam` runs the configs of them. Here is the one on the mismatch.

The mismatch needs samples and a checker. SEAM is a substitute that is cheaper for some sources. The experiment measures
both, how the mismatch depends on the policy and on the reward model, and how well SEAM follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from burnish.algorithms.seam import Variant, means
from burnish.config import DataConfig, ModelConfig
from burnish.config.seam_study import MismatchStudy
from burnish.protocols import Backend
from burnish.results import Metric
from burnish.rewards.pairs import GivenPairs
from burnish.seam.mismatch import MismatchOptions, mismatch
from burnish.seam.mismatch_report import MismatchReport
from burnish.seam.results import write_table
from burnish.seam.study_page import TABLES, table_name
from burnish.seam.study_results import SourceResult, StudyCell, StudyResults
from burnish.seam.study_seed import StudySeed, study_seeds
from burnish.types import Artifact

PROMPTS_FILE = "prompts.jsonl"
"""The file with the prompts on which all is measured."""


def run_mismatch(
    study: MismatchStudy, store: Path, out: Path, own_backend: Callable[[], Backend] | None = None
) -> StudyResults:
    """Compute all cells of an experiment. The SEAM tables are written into the folder `out`.

    Raises ConfigError for a setting that cannot be used, DataError if there are too few rows or pairs, and BackendError
    if a library is missing.
    """
    cells: list[StudyCell] = []
    for work in study_seeds(study, store, out, own_backend):
        prompts = work.write_prompts(PROMPTS_FILE, tuple(work.dataset.test))
        every = work.pairs(max(study.rewards)).pairs
        models = {count: work.reward_model(GivenPairs(pairs=every[:count])) for count in study.rewards}
        off_policy = {count: work.off_policy(model, tuple(work.dataset.test)) for count, model in models.items()}
        for rows in study.policies:
            policy = work.policy(rows)
            for pairs, model in models.items():
                place = _Cell(
                    study=study, work=work, rows=rows, pairs=pairs, policy=policy, model=model, prompts=prompts
                )
                cells.append(place.measured(out, off_policy[pairs]))
    return StudyResults(name=study.name, cells=cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """A policy with a reward model. `rows` and `pairs` say what they were trained on."""

    study: MismatchStudy
    work: StudySeed
    rows: int
    pairs: int
    policy: Artifact
    model: Artifact
    prompts: Path

    def measured(self, out: Path, off_policy: Metric) -> StudyCell:
        """Measure the mismatch, and SEAM by each source. `off_policy` is the reward model's accuracy elsewhere."""
        found: dict[str, SourceResult] = {}
        report: MismatchReport | None = None
        for source in self.study.sources:
            table = self.work.table(self.prompts, self.policy, self.model, source, self.study.worse)
            name = table_name(self.work.steps.seed, self.rows, self.pairs, source.kind)
            path = write_table(table.rows, out / TABLES / name)
            place = self.work.place
            report = mismatch(self._options(path), place.store, None, place.own_backend)
            average = means(row.score for row in table.rows)
            found[source.kind] = SourceResult(
                mean=average.values[Variant.SEAM],
                undefined=average.undefined,
                correlation=report.policies[0].correlation,
            )
        assert report is not None, self.study.name
        (policy,) = report.policies
        return StudyCell(
            seed=self.work.steps.seed,
            rows=self.rows,
            pairs=self.pairs,
            right=policy.right,
            mismatch=policy.mismatch,
            off_policy=off_policy,
            sources=found,
        )

    def _options(self, table: Path) -> MismatchOptions:
        return MismatchOptions(
            data=DataConfig(source=str(self.prompts)),
            policies=(ModelConfig(source=self.policy.path),),
            reward=ModelConfig(source=self.model.path),
            checker=self.work.checker,
            samples=self.study.samples,
            max_new_tokens=self.study.max_new_tokens,
            against=table,
            seed=self.work.steps.seed,
            execution=self.study.execution,
        )
