"""What rewards the answers of a policy in reinforcement learning: one plan for each source.

A source sees answers as texts, so that its tokenizer need not be that of the policy. It is only asked about answers
that ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import JsonValue

from burnish.config import REWARDS, AnnotatorReward, CheckerReward, ModelReward, RewardSettings, RlMethod
from burnish.errors import ConfigError, DataError
from burnish.protocols import Annotator, Grader, Score, Scorer, row_key
from burnish.steps.artifacts import SCORES, Rows, read_demonstrations, read_samples
from burnish.steps.basic import Steps
from burnish.steps.data import Handling
from burnish.steps.scores import finite
from burnish.steps.setting import Compared, Setting
from burnish.store.files import iter_rows
from burnish.store.stages import Work
from burnish.tasks.answers import graded, graders
from burnish.types import (
    Artifact,
    Comparison,
    Completion,
    Demonstration,
    DemonstrationSource,
    Example,
    TrainingRow,
)

AT_ONCE = 16
"""The number of answers that are rewarded before their rewards are written."""


def _free(answers: Sequence[Completion]) -> int:
    """Return the comparisons that the rewards of a source without an annotator take."""
    return 0


class Rewarder:
    """Gives rewards to answers.

    `of` takes different answers that ended and returns their rewards in the same order; None stands for no reward.
    `asked` returns how many comparisons were made for them.
    """

    def __init__(
        self, of: Callable[[Sequence[Completion]], Sequence[float | None]], asked: Callable[[], int] = lambda: 0
    ) -> None:
        self.of, self.asked = of, asked

    def __call__(self, answers: Sequence[Completion]) -> list[float | None]:
        """Return the rewards of answers that ended. Equal answers to one prompt are rewarded once."""
        first = {(one.id, one.text): one for one in reversed(answers)}
        rewards = dict(zip(first, self.of(list(first.values())), strict=True)) if first else {}
        return [rewards[one.id, one.text] for one in answers]


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardPlan:
    """A source of rewards that can be asked once its inputs exist.

    `config` and `inputs` identify its rewards. `make` opens the source when it is first needed. `outside` means that a
    server or a user's program is asked. `compared` has the comparisons from which the source learned, if it did. `cost`
    returns how many comparisons the rewards of answers that ended take.
    """

    config: Mapping[str, JsonValue]
    make: Callable[[], Rewarder]
    inputs: Mapping[str, Artifact] = field(default_factory=dict[str, Artifact])
    outside: bool = False
    compared: Compared | None = None
    cost: Callable[[Sequence[Completion]], int] = _free


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a source of rewards is wanted for: round `number` of a method, which starts from `policy`.

    `field` is the field of the method's settings that holds those of the source.
    """

    setting: Setting
    method: RlMethod
    policy: Artifact
    labels: Artifact
    number: int
    field: str


R = TypeVar("R", bound=RewardSettings)
PlanReward: TypeAlias = Callable[[R, Wanted], RewardPlan]
"""A function that plans a source of rewards from its settings."""
_plans: dict[type[RewardSettings], PlanReward[Any]] = {}


def register_reward(settings: type[R], plan: PlanReward[R]) -> None:
    """Register a source of rewards, so that configs can name it.

    `settings` is the settings class; it inherits from `burnish.config.RewardSettings`. `plan` is the function that
    plans the source. It must only call steps and never read an artifact, because a dry run makes the same calls before
    any artifact exists. Raises ConfigError if another class has the same kind.
    """
    REWARDS.add(settings)
    _plans[settings] = plan


def reward_plan(settings: RewardSettings, wanted: Wanted) -> RewardPlan:
    """Plan a source of rewards. Raises ConfigError if its class is not registered, or as its plan does."""
    if type(settings) not in _plans:
        raise ConfigError(f"methods: reward: kind {settings.kind!r} is not registered; call burnish.register_reward")
    return _plans[type(settings)](settings, wanted)


def right_answers(task: Grader, examples: Mapping[str, Example], answers: Sequence[Completion]) -> list[bool | None]:
    """Say for each answer whether it is right, or None if its row has no reference. An answer that was cut is wrong."""
    texts = [_demonstration(one) for one in answers]
    known = [one for one in texts if examples[one.example_id].reference is not None]
    grader_of = graders(task, examples, known, gold=True)
    right = {one.id: graded(grader_of(one.example_id), one).correct for one in known if one.finished}
    # A cut answer may have the text of one that ended.
    return [None if examples[one.example_id].reference is None else one.finished and right[one.id] for one in texts]


def checker(settings: CheckerReward, wanted: Wanted) -> RewardPlan:
    """Return the plan of the task's checker."""
    task, rows = wanted.setting.steps.task, wanted.setting.rows

    def make() -> Rewarder:
        examples = rows.examples()

        def of(answers: Sequence[Completion]) -> list[float | None]:
            return [None if one is None else float(one) for one in right_answers(task, examples, answers)]

        return Rewarder(of)

    return RewardPlan(config={"kind": "checker", "task": wanted.setting.steps.task_kind}, make=make)


def given_model(settings: ModelReward, wanted: Wanted) -> RewardPlan:
    """Return the plan of the reward model that the settings name."""
    return by_model(wanted.setting, wanted.setting.model(f"{wanted.field}.model"))


def by_model(setting: Setting, model: Artifact, compared: Compared | None = None) -> RewardPlan:
    """Return the plan of a reward model. An answer that does not fit into it has no reward."""
    rows, scorer = setting.rows, setting.steps.engines.scorer

    def make() -> Rewarder:
        examples = rows.prompts_only()
        return Rewarder(lambda answers: _scored(scorer(), model, examples, answers))

    return RewardPlan(config={"kind": "reward_model"}, inputs={"reward_model": model}, make=make, compared=compared)


def _scored(
    scorer: Scorer, model: Artifact, examples: Mapping[str, Example], answers: Sequence[Completion]
) -> list[float | None]:
    rows = [
        TrainingRow(id=row_key(one.id, place), prompt=examples[one.id].prompt, completion=one.text)
        for place, one in enumerate(answers)
    ]
    scores = {
        score.id: score.value
        for batch in scorer.rewards(model, rows, frozenset[str]())
        for score in finite(batch, "the reward model gives")
    }
    return [scores.get(row.id) for row in rows]


def against_first(settings: AnnotatorReward, wanted: Wanted) -> RewardPlan:
    """Return the plan of P(the answer is better than that of the policy with which the round starts).

    Raises ConfigError if the annotator cannot be asked during a training.
    """
    setting, policy, number = wanted.setting, wanted.policy, wanted.number
    annotator, steps = setting.annotator, setting.steps
    if annotator.routing is not None or annotator.members or annotator.coarse:
        raise ConfigError(
            f"methods: reward: annotator found, but the annotator {annotator.kind} does not judge answers one by one "
            "during a training; set the reward to comparisons, or use another annotator"
        )
    first = steps.answer(policy, setting.rows, setting.decode, "baseline", DemonstrationSource.PROPOSAL, number)

    def make() -> Rewarder:
        contest = _Contest(annotator.on(setting.rows), read_demonstrations(first), policy.fingerprint, number)
        return Rewarder(contest.rewards, lambda: contest.asked)

    def cost(answers: Sequence[Completion]) -> int:
        known = read_demonstrations(first)
        # Equal answers to one prompt are compared once, and an answer is not compared with itself.
        return len({(one.id, one.text) for one in answers if one.text != known[one.id].completion})

    config = {"kind": "annotator", "annotator": dict(annotator.config), "round": number}
    inputs = {"first": first, **{f"annotator_{name}": one for name, one in annotator.inputs.items()}}
    return RewardPlan(config=config, inputs=inputs, make=make, outside=annotator.outside, cost=cost)


class _Contest:
    """Compares answers with those of the policy with which a round starts. `asked` counts the comparisons."""

    def __init__(self, judge: Annotator, first: Mapping[str, Demonstration], producer: str, number: int) -> None:
        self.judge, self.first, self.producer, self.number = judge, first, producer, number
        self.asked = 0

    def rewards(self, answers: Sequence[Completion]) -> list[float | None]:
        """Return P(the answer is better), or None if the judge abstains."""
        compared = [
            Comparison(example_id=one.id, a=self.first[one.id], b=_demonstration(one, self.producer, self.number))
            for one in answers
        ]
        # Two equal texts need no judge.
        differing = [one for one in compared if one.a.completion != one.b.completion]
        self.asked += len(differing)
        wins = _wins(self.judge, differing)
        return [wins.get(one.id) if one.a.completion != one.b.completion else 0.5 for one in compared]


def _wins(judge: Annotator, compared: Sequence[Comparison]) -> dict[str, float]:
    """Return {comparison id: P(b is better)} of the comparisons that the judge decides."""
    preferences = (one for batch in judge.judge(compared, frozenset[str]()) for one in batch)
    return {one.comparison_id: one.p_b for one in preferences if one.p_b is not None}


def reward_samples(steps: Steps, plan: RewardPlan, rows: Rows, samples: Artifact, label: str) -> Artifact:
    """Let a source reward samples of a policy. Samples that were cut have no reward.

    If the run is killed, finished rewards are kept. The stage raises DataError if no sample has a reward.
    """

    def run(work: Work) -> None:
        drawn = read_completions(samples)
        ended = [one for one in drawn if one.finished]
        if not ended:
            raise DataError(
                f"{steps.label} {label}: none of {len(drawn)} sampled answers of the policy ends, so that there is "
                "nothing to reward; raise decode.max_new_tokens, or finetune the policy longer (train.epochs)"
            )
        # Opened when it is first needed, because it may load a model or start a server.
        rewarder: list[Rewarder] = []

        def batches(scores: Path) -> Iterator[Sequence[Score]]:
            done = {row.id for row in iter_rows(scores, Score)}
            work.expect(len(ended), len(done))
            for start in range(0, len(ended), AT_ONCE):
                chunk = ended[start : start + AT_ONCE]
                if not all(row_key(one.id, one.sample) in done for one in chunk):
                    rewarder[:] = rewarder or [plan.make()]
                    yield list(_rewarded(chunk, rewarder[0](chunk)))

        work.append_batches(SCORES, batches, lambda batch: {"rows": len(batch)})
        if not any(True for _ in iter_rows(work.path / SCORES, Score)):
            raise DataError(f"{steps.label} {label}: the source has no reward for any of {len(ended)} sampled answers")

    config = {**plan.config, **rows.config}
    inputs = {"samples": samples, **plan.inputs, **rows.inputs}
    return steps.stage("reward_samples", config, inputs, run, label, Handling(resumable=True, outside=plan.outside))


def _rewarded(answers: Sequence[Completion], rewards: Sequence[float | None]) -> Iterator[Score]:
    for one, reward in zip(answers, rewards, strict=True):
        if reward is not None:
            yield Score(id=row_key(one.id, one.sample), value=reward, tokens=one.tokens)


def _demonstration(answer: Completion, producer: str = "", number: int = 0) -> Demonstration:
    return Demonstration(
        example_id=answer.id,
        completion=answer.text,
        source=DemonstrationSource.PROPOSAL,
        producer=producer,
        round=number,
        finished=answer.finished,
    )


def read_completions(samples: Artifact) -> list[Completion]:
    """Read samples of a policy as answers to reward."""
    return [_completion(one) for row in read_samples(samples).values() for one in row]


def _completion(one: Demonstration) -> Completion:
    # The number of tokens is not stored with an answer, and no source reads it.
    return Completion(id=one.example_id, sample=one.sample, text=one.completion, finished=one.finished, tokens=0)
