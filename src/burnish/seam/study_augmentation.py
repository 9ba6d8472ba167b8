"""The experiment on augmentation: pairs are added to those of a reward model, and a policy is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish.algorithms.seam_selection import SelectionOrder
from burnish.config.seam_study import AugmentationArm, AugmentationStudy
from burnish.errors import DataError
from burnish.protocols import Backend
from burnish.rewards.pairs import GivenPair, GivenPairs, read_pairs
from burnish.seam.arm_results import ArmResult
from burnish.seam.augmenting import PAIRS_FILE, AugmentOptions, augment
from burnish.seam.study_arms import rewarding_of
from burnish.seam.study_rl import Start, trained_arm
from burnish.seam.study_seed import StudySeed, study_seeds
from burnish.types import Artifact, short_hash

ADDED = "added"
"""The folder with the pairs that are added."""


def augmentation(
    study: AugmentationStudy, store: Path, out: Path, own_backend: Callable[[], Backend] | None
) -> Iterator[ArmResult]:
    """Yield the arms: a policy after RL on the reward model that learned from the pairs of each of them.

    Raises DataError if an arm finds fewer pairs than `extra`.
    """
    for work in study_seeds(study, store, out, own_backend, study.kept_rows):
        every = work.pairs(study.reward + study.extra).pairs
        first, more = every[: study.reward], every[study.reward :]
        start = Start(policy=work.policy(study.policy), rows=study.policy)
        adding = _Adding(
            study=study,
            work=work,
            policy=start.policy,
            model=work.reward_model(GivenPairs(pairs=first)),
            more=more,
            out=out,
        )
        examples = work.last(study.rl_rows)
        for arm in study.arms:
            given = GivenPairs(pairs=(*first, *adding.pairs(arm)))
            model = work.reward_model(given, arm.name)
            rewarding = rewarding_of(work, model, f"{len(given.pairs):,} pairs", examples)
            yield trained_arm(study, work, start, rewarding, examples, arm.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adding:
    """Finds pairs to add. `model` is the reward model without them, and `more` are pairs of the usual kind."""

    study: AugmentationStudy
    work: StudySeed
    policy: Artifact
    model: Artifact
    more: tuple[GivenPair, ...]
    out: Path

    def pairs(self, arm: AugmentationArm) -> tuple[GivenPair, ...]:
        """Return the pairs of an arm: `extra` of them, or none."""
        if arm.add == "nothing":
            return ()
        return self.more if arm.add == "more" else self._worse(arm)

    def _worse(self, arm: AugmentationArm) -> tuple[GivenPair, ...]:
        """Return pairs of a gold answer and a worse one, as `burnish seam augment` makes them."""
        study, work, seed = self.study, self.work, self.work.steps.seed
        assert arm.source is not None, arm
        file = work.write_prompts(f"pool-{seed}.jsonl", work.last(study.pool_rows, before=study.rl_rows))
        table = work.table(file, self.policy, self.model, arm.source, study.worse)
        guided = arm.add == "seam"
        options = AugmentOptions(
            share=study.share,
            order=SelectionOrder.HIGHEST if guided else SelectionOrder.RANDOM,
            most=study.pairs_a_prompt,
            all_worse=not guided,
            seed=seed,
        )
        folder = self.out / ADDED / f"seed-{seed}-{arm.name}"
        augment(table.rows, options, folder)
        found = read_pairs(folder / PAIRS_FILE).pairs
        if len(found) < study.extra:
            raise DataError(
                f"arms: {arm.name}: {study.extra:,} pairs are to be added, but only {len(found):,} were found; raise "
                "share, pairs_a_prompt or pool_rows, or lower extra"
            )
        ordered = sorted(found, key=lambda pair: short_hash("seam added", str(seed), pair.id))
        return tuple(ordered[: study.extra])
