"""Reinforcement learning (RL) within an experiment on SEAM: one arm is trained and measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.algorithms.mismatch import PromptMismatch, mismatch_rate
from burnish.algorithms.reinforcement import PolicyPoint
from burnish.config import Decoding, ModelConfig, RlMethod
from burnish.config.reward_sources import CheckerReward, ModelReward
from burnish.config.seam_study import TrainingStudy
from burnish.protocols import Score
from burnish.results import Metric
from burnish.seam.arm_results import TRUTH, ArmResult, PolicyAnswers, StepPoint
from burnish.seam.samples import checked_samples
from burnish.seam.study_seed import BASE, StudySeed
from burnish.steps.artifacts import Rows, read_samples, read_scores
from burnish.steps.judging import nobody
from burnish.steps.mismatch import answers_to_reward
from burnish.steps.reinforcing import PolicyRound, read_policy_curve, reinforce
from burnish.steps.reward_sources import Wanted, by_model, checker
from burnish.steps.rewarding import reward
from burnish.steps.setting import Setting
from burnish.types import Artifact, DemonstrationSource, Example

POINTS = 12
"""The most points of a training curve that results keep."""
PURPOSE = "mismatch"
"""The purpose of samples: those from which `burnish seam mismatch` counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewarding:
    """What rewards a policy. `model` is None for the true reward. `name` is its name in results."""

    model: Artifact | None
    name: str = TRUTH
    off_policy: Metric | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The policy with which RL starts, and how many gold rows it was trained on."""

    policy: Artifact
    rows: int


def trained_arm(
    study: TrainingStudy, work: StudySeed, start: Start, rewarding: Rewarding, examples: tuple[Example, ...], arm: str
) -> ArmResult:
    """Train a policy with RL on the prompts of examples, and measure it before and after.

    Raises DataError if there are fewer examples than prompts in a step, and as a round of the method `rl`.
    """
    rows = work.rows(examples)
    policy = reinforce(_round(study, work, start, rewarding, rows))
    curve = read_policy_curve(policy)
    return ArmResult(
        seed=work.steps.seed,
        policy=start.rows,
        reward=rewarding.name,
        arm=arm,
        prompts=len(examples),
        off_policy=rewarding.off_policy,
        before=answered(work, start.policy, rewarding.model),
        after=answered(work, policy, rewarding.model),
        steps=len(curve),
        curve=thinned(curve),
    )


def _round(study: TrainingStudy, work: StudySeed, start: Start, rewarding: Rewarding, rows: Rows) -> PolicyRound:
    setting = Setting(
        steps=work.steps,
        rows=rows,
        demonstrations=work.steps.gold(rows),
        gold=None,
        annotator=nobody(),
        base=work.context.model(work.steps, BASE),
        train=study.train,
        decode=Decoding(beams=1, max_new_tokens=study.max_new_tokens),
    )
    by_checker = CheckerReward(kind="checker")
    named = (
        by_checker
        if rewarding.model is None
        else ModelReward(kind="reward_model", model=ModelConfig(source=rewarding.model.path))
    )
    method = RlMethod(kind="rl", reward=named, **study.rl.policy_training.model_dump())
    labels = setting.demonstrations
    wanted = Wanted(setting=setting, method=method, policy=start.policy, labels=labels, number=1, field="rl")
    plan = checker(by_checker, wanted) if rewarding.model is None else by_model(setting, rewarding.model)
    return PolicyRound(setting=setting, method=method, policy=start.policy, sources=(plan,), number=1)


def answered(work: StudySeed, policy: Artifact, model: Artifact | None) -> PolicyAnswers:
    """Measure what a policy answers to the test prompts, and what a reward model misjudges of it."""
    tested = tuple(work.dataset.test)
    found, sampled = on_prompts(work, policy, model, tested)
    decode = Decoding(beams=1, max_new_tokens=work.study.max_new_tokens)
    greedy = read_samples(work.steps.answer(policy, work.rows(tested), decode, "greedy", DemonstrationSource.PROPOSAL))
    _, right = checked_samples(work.checker, tested, greedy, {})
    return PolicyAnswers(
        sampled=sampled, greedy=right, mismatch=None if model is None else Metric.of(mismatch_rate(found))
    )


def on_prompts(
    work: StudySeed, policy: Artifact, model: Artifact | None, examples: tuple[Example, ...]
) -> tuple[list[PromptMismatch], Metric]:
    """Sample a policy, and return the mismatch of each prompt and the share of right samples.

    Without a reward model, no prompt has a pair.
    """
    steps, rows = work.steps, work.rows(examples)
    decode = Decoding(beams=1, temperature=1.0, max_new_tokens=work.study.max_new_tokens)
    answers = steps.answer(policy, rows, decode, PURPOSE, DemonstrationSource.PROPOSAL, samples=work.study.samples)
    rewards: dict[str, Score] = {}
    if model is not None:
        rewards = dict(read_scores(reward(steps, model, answers_to_reward(steps, rows, answers), "of the samples")))
    return checked_samples(work.checker, examples, read_samples(answers), rewards)


def thinned(curve: Sequence[PolicyPoint]) -> list[StepPoint]:
    """Return at most POINTS points of a curve, evenly spaced. The first one and the last one stay."""
    last, count = len(curve) - 1, min(len(curve), POINTS)
    places = sorted({round(number * last / max(1, count - 1)) for number in range(count)})
    kept = [curve[place] for place in places]
    return [StepPoint(step=one.step, reward=one.reward, accuracy=one.accuracy, kl=one.kl) for one in kept]
