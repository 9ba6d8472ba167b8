"""The stages of a round of reinforcement learning: rewards of samples, which give their scale, and the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from burnish.algorithms.refinement import drawn
from burnish.algorithms.reinforcement import (
    PolicyPlan,
    PolicyPoint,
    PolicyTrained,
    Rewards,
    RewardScale,
    Shaping,
    point_of,
    scale_of,
)
from burnish.config import Decoding, RlMethod
from burnish.config.reinforcement import SCALE_PROMPTS
from burnish.errors import BackendError, DataError
from burnish.steps.artifacts import PARTS, POLICY_CURVE, TRAINING, Rows, read_scores
from burnish.steps.basic import Steps
from burnish.steps.data import Handling
from burnish.steps.reward_sources import Rewarder, RewardPlan, read_completions, reward_samples, right_answers
from burnish.steps.setting import Setting
from burnish.store.files import pretty, read_rows, write_atomic, write_rows
from burnish.store.listings import write_listings
from burnish.store.stages import Work
from burnish.types import Artifact, Completion, DemonstrationSource, Prompt, short_hash


@runtime_checkable
class TrainsPolicies(Protocol):
    """A trainer that can also train policies with RL. It is an optional ability: other work needs none."""

    def train_policy(
        self,
        policy: Artifact,
        prompts: Sequence[Prompt],
        plan: PolicyPlan,
        rewards: Rewards,
        seed: int,
        into: Path,
    ) -> PolicyTrained:
        """Train a finetuned `policy` with RL, and write the model into the folder `into`.

        `rewards` is called once for each step with all of its answers, and returns their rewards in the same order.
        None stands for no reward: nothing is learned from the answer. The policy as it is now is the reference.
        """
        ...


class StepRewards:
    """Rewards the answers of each step of a training, and remembers the points of the training curve."""

    def __init__(
        self,
        shaping: Shaping,
        sources: Sequence[Rewarder],
        right: Callable[[Sequence[Completion]], Sequence[bool | None]],
    ) -> None:
        self.shaping, self.sources, self.right = shaping, sources, right
        self.points: list[PolicyPoint] = []
        self.prompts: set[str] = set()

    def __call__(self, answers: Sequence[Completion]) -> list[float | None]:
        """Return the reward of each answer of a step."""
        ended = [place for place, one in enumerate(answers) if one.finished]
        found: list[list[float | None]] = [[] for _ in answers]
        for source in self.sources:
            for place, reward in zip(ended, source([answers[place] for place in ended]), strict=True):
                found[place].append(reward)
        rewards = [self.shaping.shaped(one, given) for one, given in zip(answers, found, strict=True)]
        right = [one for one in self.right(answers) if one is not None]
        known = right if len(right) == len(answers) else None
        # Only the trainer knows the KL. It is filled in when the training is done.
        self.points.append(point_of(len(self.points) + 1, answers, rewards, known, 0.0))
        self.prompts.update(one.id for one in answers)
        return rewards

    def curve(self, kls: Sequence[float]) -> list[PolicyPoint]:
        """Return the training curve. `kls` has the KL of each step."""
        return [dataclasses.replace(point, kl=kl) for point, kl in zip(self.points, kls, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRound:
    """A round of RL: the method, the policy with which the round starts, and what rewards its answers.

    `number` counts all rounds of the method, and `earlier` those of RL that came before this one.
    """

    setting: Setting
    method: RlMethod
    policy: Artifact
    sources: tuple[RewardPlan, ...]
    number: int
    earlier: int = 0

    @property
    def seed(self) -> int:
        """The seed of the training. It orders the prompts and draws the answers."""
        first = self.setting.steps.order.training_seed
        # A training uses only some of many rows. With the seed of the first round, a later one would use the same rows.
        return int(short_hash("rl", str(first), str(self.earlier)), 16) % 2**31 if self.earlier else first

    @property
    def plan(self) -> PolicyPlan:
        """How the policy is trained."""
        training = self.method.policy_training
        return PolicyPlan(
            training=training,
            optimising=training.optimising(self.setting.train),
            max_new_tokens=self.setting.decode.max_new_tokens,
        )

    @property
    def label(self) -> str:
        """What the training is called where people read it."""
        # The name, because an experiment may have several methods of this kind.
        return f"{self.method.name} round {self.number}"

    def shaping(self, scales: Sequence[RewardScale]) -> Shaping:
        """Return how the rewards of the sources become one reward."""
        method = self.method
        return Shaping(
            weights=method.reward.weights,
            scales=tuple(scales) or (RewardScale(),) * len(self.sources),
            clip=method.clip_reward,
            length_penalty=method.length_penalty,
            unfinished=method.unfinished_reward,
        )

    def config(self) -> dict[str, JsonValue]:
        """Return the settings of the training that change its result."""
        method, steps = self.method, self.setting.steps
        return {
            # As for preferences: whether an adapter or all weights are trained depends on the policy alone.
            "train": self.plan.optimising.semantic(exclude={"lora"}),
            "policy": self.plan.training.model_dump(mode="json"),
            "sources": [dict(one.config) for one in self.sources],
            "weights": list(method.reward.weights),
            "standardize": method.standardize,
            "clip": method.clip_reward,
            "length_penalty": method.length_penalty,
            "unfinished": method.unfinished_reward,
            "max_new_tokens": self.plan.max_new_tokens,
            # The curve has the share of right answers.
            "task": steps.task_kind,
            "seed": steps.seed,
            **steps.order.identity,
            **({"earlier": self.earlier} if self.earlier else {}),
            **self.setting.rows.config,
        }

    def inputs(self, scores: Sequence[Artifact]) -> dict[str, Artifact]:
        """Return what the training reads."""
        found = {"policy": self.policy, **self.setting.rows.inputs}
        for place, one in enumerate(self.sources):
            found |= {f"source_{place}_{name}": artifact for name, artifact in one.inputs.items()}
        return found | {f"scores_{place}": one for place, one in enumerate(scores)}


def reinforce(round_: PolicyRound) -> Artifact:
    """Train a policy with RL on the prompts of the rows, and return the new policy.

    The stage raises BackendError if the backend cannot train policies, and DataError if there are fewer rows than
    prompts in a step, or if in no step the answers to a prompt had different rewards.
    """
    setting, steps = round_.setting, round_.setting.steps
    samples = _samples(round_) if round_.method.standardize else None
    scores = [] if samples is None else _scores(round_, samples)

    def run(work: Work) -> None:
        rewards = StepRewards(
            round_.shaping([_scale(one) for one in scores]),
            [one.make() for one in round_.sources],
            _rightness(setting),
        )
        trained = _train(round_, rewards, work.path)
        curve = rewards.curve(trained.kls)
        _check_learned(curve, f"{steps.label} {round_.label}")
        write_rows(work.path / POLICY_CURVE, curve)
        asked = sum(one.asked() for one in rewards.sources)
        record = {
            "trained_on": sorted(rewards.prompts),
            "without_answer": 0,
            "asked": asked,
            "asked_for_scale": 0 if samples is None else _cost(round_, samples.answers),
            "passed_bound": trained.passed_bound,
            "scales": [dataclasses.asdict(one) for one in rewards.shaping.scales],
        }
        write_atomic(work.path / TRAINING, pretty(record))
        work.count(rows=round_.plan.training.answers * len(curve), tokens=trained.tokens, comparisons=asked)

    handling = Handling(outside=any(one.outside for one in round_.sources))
    policy = steps.stage("train_policy", round_.config(), round_.inputs(scores), run, round_.label, handling)
    steps.hosts.inherit(policy, round_.policy)
    steps.remember(policy, lambda other: reinforce(dataclasses.replace(round_, setting=_with(setting, other))))
    return policy


def _with(setting: Setting, steps: Steps) -> Setting:
    return dataclasses.replace(setting, steps=steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ScaleSamples:
    """Some rows, and an answer of the policy with which a round starts to each of them."""

    rows: Rows
    answers: Artifact


def _samples(round_: PolicyRound) -> _ScaleSamples:
    """Let the policy with which the round starts answer some of the rows."""
    setting, steps, number = round_.setting, round_.setting.steps, round_.number
    rows = _some(setting.rows, steps, number)
    decode = Decoding(beams=1, temperature=round_.method.temperature, max_new_tokens=setting.decode.max_new_tokens)
    source = DemonstrationSource.PROPOSAL
    return _ScaleSamples(rows=rows, answers=steps.answer(round_.policy, rows, decode, "rewards", source, number))


def _scores(round_: PolicyRound, samples: _ScaleSamples) -> list[Artifact]:
    """Let each source reward the samples, which gives the scale of its rewards."""
    steps, label = round_.setting.steps, f"{round_.label} rewards of samples"
    return [reward_samples(steps, one, samples.rows, samples.answers, label) for one in round_.sources]


def _cost(round_: PolicyRound, answers: Artifact) -> int:
    """Return how many comparisons the scale of the rewards took."""
    ended = [one for one in read_completions(answers) if one.finished]
    return sum(one.cost(ended) for one in round_.sources)


def _some(rows: Rows, steps: Steps, number: int) -> Rows:
    """Return at most SCALE_PROMPTS of the rows. A seeded hash chooses them."""

    def run(work: Work) -> None:
        chosen = drawn(rows.prompts_only(), SCALE_PROMPTS, steps.seed, number, "rewards")
        write_listings(work.path / PARTS, {"drawn": sorted(chosen)})
        work.count(rows=len(chosen))

    config = {"seed": steps.seed, "purpose": "rewards", "round": number, "most": SCALE_PROMPTS, **rows.config}
    return rows.part(steps.stage("some_rows", config, rows.inputs, run, f"some rows {number}"), "drawn")


def _scale(scores: Artifact) -> RewardScale:
    return scale_of([one.value for one in read_scores(scores).values()])


def _rightness(setting: Setting) -> Callable[[Sequence[Completion]], Sequence[bool | None]]:
    """Return what says for each answer whether it is right. Only the training curve shows it."""
    examples = setting.rows.examples()
    return lambda answers: right_answers(setting.steps.task, examples, answers)


def _train(round_: PolicyRound, rewards: StepRewards, into: Path) -> PolicyTrained:
    steps, plan = round_.setting.steps, round_.plan
    trainer = steps.engines.trainer()
    if not isinstance(trainer, TrainsPolicies):
        raise BackendError(f"{type(trainer).__name__} has no method train_policy; use another backend")
    examples = round_.setting.rows.prompts_only()
    check_prompts(plan.training.prompts, len(examples), f"{steps.label} {round_.label}")
    prompts = [Prompt(id=one.id, messages=one.prompt) for one in examples.values()]
    return trainer.train_policy(round_.policy, prompts, plan, rewards, round_.seed, into)


def check_prompts(wanted: int, rows: int, where: str) -> None:
    """Raise DataError if there are fewer rows than a step has prompts. `where` is the place for the message."""
    if rows < wanted:
        raise DataError(
            f"{where}: prompts: {wanted} found, but there are {rows} rows, and the prompts of a step are different "
            f"rows; set prompts to at most {rows}, or use more rows"
        )


def _check_learned(curve: Sequence[PolicyPoint], where: str) -> None:
    """Raise DataError if no step had anything to learn from."""
    if all(point.flat == 1 for point in curve):
        unfinished = sum(point.unfinished for point in curve) / len(curve)
        raise DataError(
            f"{where}: in none of {len(curve)} steps did the answers to a prompt have different rewards "
            f"({unfinished:.0%} of the answers were cut), so that nothing was learned; use another reward, more "
            "samples, a higher temperature, or a higher decode.max_new_tokens"
        )


def read_policy_curve(model: Artifact) -> list[PolicyPoint]:
    """Read the training curve of a policy. It is empty for a model that was not trained with RL."""
    path = Path(model.path) / POLICY_CURVE
    return read_rows(path, PolicyPoint) if path.exists() else []
