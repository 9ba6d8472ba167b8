"""The experiments with reinforcement learning (RL): saturation, selection of prompts, and augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish.algorithms.seam import Variant
from burnish.algorithms.seam_selection import Ranked, SelectionOrder, select_prompts
from burnish.config.seam_study import SaturationStudy, SelectionArm, SelectionStudy
from burnish.protocols import Backend
from burnish.rewards.pairs import GivenPairs
from burnish.seam.arm_results import ArmResult
from burnish.seam.results import write_table
from burnish.seam.study_page import TABLES
from burnish.seam.study_rl import Rewarding, Start, on_prompts, trained_arm
from burnish.seam.study_seed import StudySeed, study_seeds
from burnish.types import Artifact, Example

RL_PROMPTS = "rl_prompts-{seed}.jsonl"
"""The file with the prompts of RL of a seed."""


def saturation(
    study: SaturationStudy, store: Path, out: Path, own_backend: Callable[[], Backend] | None
) -> Iterator[ArmResult]:
    """Yield the cells of the grid: every policy after RL on every reward model, and on the true reward."""
    for work in study_seeds(study, store, out, own_backend, study.kept_rows):
        examples = work.last(study.rl_rows)
        every = work.pairs(max(study.rewards)).pairs
        rewardings = [
            rewarding_of(work, work.reward_model(GivenPairs(pairs=every[:count])), f"{count:,} pairs", examples)
            for count in study.rewards
        ]
        for rows in study.policies:
            start = Start(policy=work.policy(rows), rows=rows)
            for rewarding in (*rewardings, Rewarding(model=None)):
                yield trained_arm(study, work, start, rewarding, examples, "")


def rewarding_of(work: StudySeed, model: Artifact, name: str, held_out: tuple[Example, ...]) -> Rewarding:
    """Return a reward model with its accuracy on pairs of examples that it did not see."""
    return Rewarding(model=model, name=name, off_policy=work.off_policy(model, held_out))


def selection(
    study: SelectionStudy, store: Path, out: Path, own_backend: Callable[[], Backend] | None
) -> Iterator[ArmResult]:
    """Yield the arms: a policy after RL on the prompts that each of them keeps."""
    for work in study_seeds(study, store, out, own_backend, study.kept_rows):
        examples = work.last(study.rl_rows)
        start = Start(policy=work.policy(study.policy), rows=study.policy)
        model = work.reward_model(work.pairs(study.reward))
        rewarding = rewarding_of(work, model, f"{study.reward:,} pairs", examples)
        values = _ChosenBy(study=study, work=work, start=start, model=model, examples=examples)
        scores = values.by_seam(out)
        mismatch = values.by_mismatch() if any(arm.by == "mismatch" for arm in study.arms) else {}
        for arm in study.arms:
            kept = chosen(arm, mismatch if arm.by == "mismatch" else scores, work.steps.seed)
            some = tuple(row for row in examples if row.id in kept)
            yield trained_arm(study, work, start, rewarding, some, arm.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChosenBy:
    """What prompts are chosen by."""

    study: SelectionStudy
    work: StudySeed
    start: Start
    model: Artifact
    examples: tuple[Example, ...]

    def by_seam(self, out: Path) -> dict[str, float | None]:
        """Return {id: SEAM of the prompt}, and write the table."""
        seed, study = self.work.steps.seed, self.study
        file = self.work.write_prompts(RL_PROMPTS.format(seed=seed), self.examples)
        table = self.work.table(file, self.start.policy, self.model, study.source, study.worse)
        write_table(table.rows, out / TABLES / f"seed-{seed}-{study.source.kind}")
        found = {str(row.id): row.score.values[Variant.SEAM] for row in table.rows}
        # A prompt whose gold answer does not fit into a model has no score.
        return {row.id: found.get(row.id) for row in self.examples}

    def by_mismatch(self) -> dict[str, float | None]:
        """Return {id: mismatch of the prompt on the policy's own samples}."""
        found, _ = on_prompts(self.work, self.start.policy, self.model, self.examples)
        rates = {one.id: one.rate for one in found}
        return {row.id: rates.get(row.id) for row in self.examples}


def chosen(arm: SelectionArm, values: dict[str, float | None], seed: int) -> set[str]:
    """Return the ids of the prompts that an arm keeps. `values` are what it chooses by, or None without a value."""
    orders = {"lowest": SelectionOrder.LOWEST, "highest": SelectionOrder.HIGHEST}
    order = SelectionOrder.RANDOM if arm.by == "random" else orders[arm.order]
    if arm.by == "all":
        return set(values)
    decisions = select_prompts([Ranked(id=id_, score=value) for id_, value in values.items()], arm.keep, order, seed)
    return {one.id for one in decisions if one.kept}
