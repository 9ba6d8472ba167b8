"""A backend for tests, without real models. Its models know a share of the answers and learn from training rows."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TypeVar

from burnish.algorithms.reinforcement import PolicyPlan, PolicyTrained, Rewards
from burnish.algorithms.rewards import RewardPoint, RewardTrained
from burnish.backends.batching import plan_batches
from burnish.config import Decoding, Objective, TrainSettings
from burnish.models.card import Weights, copy_model, read_card, write_card
from burnish.protocols import RowKey, SamplingKey, Score, Trained, TrainingPoint, row_key
from burnish.store.shards import Shard
from burnish.tasks.numbers import final_number
from burnish.types import Artifact, Completion, Message, PairRow, PreferenceRow, Prompt, TrainingRow, short_hash

R = TypeVar("R")
BATCH = 16
SKILL = "skill.json"
UNTRAINED = 0.5
"""The skill of a base model."""


class FakeBackend:
    """Answers right if a hash of prompt and model is below the model's skill, a number from 0 to 1.

    `gold` is {prompt text: right answer}. The skill after training is 0.1 + 0.8 times the share of right training rows.
    `before_unit` is called before every unit of work, so that a test can stop the run there.
    """

    def __init__(self, gold: Mapping[str, str], before_unit: Callable[[str], None] = lambda _: None) -> None:
        self.gold, self.before_unit = gold, before_unit
        self.in_training = False
        self.of: Shard | None = None

    def part(self, part: Shard) -> FakeBackend:
        """Return this backend, except that it answers and scores one part of the batches."""
        other = copy.copy(self)
        other.of = part
        return other

    def train(
        self,
        model: Artifact,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        seed: int,
        into: Path,
        checkpoints: int = 0,
    ) -> int:
        """Write the model's skill. The skills of the checkpoints grow evenly up to it."""
        self.before_unit("train")
        share = sum(self._right(row.prompt, row.completion) for row in rows) / len(rows)
        skill = 0.1 + 0.8 * share  # below a high share, above a low share
        for number in range(1, checkpoints + 1):
            place = into / f"checkpoint-{number:02d}"
            place.mkdir()
            self._write(model, place, skill * number / checkpoints)
        self._write(model, into, skill)
        return 2 * len(rows)

    def train_classifier(
        self, model: Artifact, rows: Sequence[tuple[PairRow, PairRow]], settings: TrainSettings, seed: int, into: Path
    ) -> int:
        """Write a skill of 0.8. The two orders of every pair must have opposite labels."""
        self.before_unit("train_classifier")
        assert all(ab.second_better != ba.second_better for ab, ba in rows), rows
        self._write(model, into, 0.8)
        return 4 * len(rows)

    def train_rewards(
        self,
        model: Artifact,
        rows: Sequence[PreferenceRow],
        settings: TrainSettings,
        centring: float,
        seed: int,
        into: Path,
    ) -> RewardTrained:
        """Write the card of a reward model. Its rewards are those of every other model here."""
        self.before_unit("train_rewards")
        card = read_card(Path(model.path))
        write_card(into, card.model_copy(update={"weights": Weights.FULL, "reward": True}))
        point = RewardPoint(step=1, loss=0.7, accuracy=0.5, margin=0.0, mean=0.0)
        return RewardTrained(tokens=4 * len(rows), curve=(point,))

    def train_preferences(
        self,
        policy: Artifact,
        rows: Sequence[PreferenceRow],
        settings: TrainSettings,
        objective: Objective,
        seed: int,
        into: Path,
    ) -> Trained:
        """Write a new skill. It lies a tenth of the way from the policy's skill to the share of right preferences."""
        self.before_unit("train_preferences")
        right = sum(self._right(row.prompt, row.chosen) for row in rows) / len(rows)
        before = json.loads((Path(policy.path) / SKILL).read_text())
        self._write(policy, into, before + 0.1 * (right - before))
        point = TrainingPoint(step=1, loss=0.7, chosen_logp=-2.0, rejected_logp=-2.0, margin=0.0)
        return Trained(tokens=4 * len(rows), curve=(point,))

    def train_policy(
        self,
        policy: Artifact,
        prompts: Sequence[Prompt],
        plan: PolicyPlan,
        rewards: Rewards,
        seed: int,
        into: Path,
    ) -> PolicyTrained:
        """Write a new skill. Each step moves it by 0.02 towards the answers, right or wrong, with the higher rewards.

        The KL of an answer grows by 0.1 nats a step.
        """
        self.before_unit("train_policy")
        training, skill = plan.training, _skill(policy)
        kls: list[float] = []
        self.in_training = True
        for step in range(training.steps):
            answers = [
                self._answer(dataclasses.replace(prompt, sample=sample), skill, f"{policy.fingerprint}{seed}{step}")
                for prompt in (prompts[(step * training.prompts + n) % len(prompts)] for n in range(training.prompts))
                for sample in range(training.samples)
            ]
            by_right: dict[bool, list[float]] = {True: [], False: []}
            text_of = {prompt.id: prompt.messages for prompt in prompts}
            for answer, reward in zip(answers, rewards(answers), strict=True):
                if reward is not None:
                    by_right[self._right(text_of[answer.id], answer.text)].append(reward)
            if all(by_right.values()):
                right, wrong = (sum(found) / len(found) for found in by_right.values())
                skill = min(0.95, max(0.05, skill + math.copysign(0.02, right - wrong) * (right != wrong)))
            kls.append(0.1 * step)
            if training.max_kl is not None and kls[-1] > training.max_kl:
                break
        self.in_training = False
        self._write(policy, into, skill)
        passed = training.max_kl is not None and kls[-1] > training.max_kl
        return PolicyTrained(tokens=4 * training.answers * len(kls), kls=tuple(kls), passed_bound=passed)

    def _write(self, model: Artifact, into: Path, skill: float) -> None:
        card = read_card(Path(model.path))
        write_card(into, card.model_copy(update={"weights": Weights.FULL}))
        (into / SKILL).write_text(json.dumps(skill))

    def generate(
        self,
        model: Artifact,
        prompts: Sequence[Prompt],
        settings: Decoding,
        key: SamplingKey,
        done: AbstractSet[RowKey],
    ) -> Iterator[Sequence[Completion]]:
        """Yield batches of right and wrong answers."""
        skill = _skill(model)
        for batch in self._batches("generate", prompts, done):
            yield [self._answer(prompt, skill, model.fingerprint) for prompt in batch]

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        right = self.gold[_text(prompt.messages)]
        knows = _uniform(row_key(prompt.id, prompt.sample), model) < skill
        # A wrong answer is also a number, one more than the right one, so every comparison of answers tells them apart.
        text = f"#### {right if knows else int(right) + 1}"
        return Completion(id=prompt.id, sample=prompt.sample, text=text, finished=True, tokens=2)

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of log-probabilities: -1 nat for right answers, -2 for wrong ones, plus noise from 0 to 1."""
        for batch in self._batches("logprobs", rows, done):
            yield [
                Score(id=row.id, value=-2 + self._right(row.prompt, row.completion) + _uniform(row.id), tokens=2)
                for row in batch
            ]

    def classify(
        self, model: Artifact, rows: Sequence[PairRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of P(the second answer is better).

        It is 0.7 if only the second answer is right, 0.3 if only the first is right, and else 0.5.
        """
        for batch in self._batches("classify", rows, done):
            yield [Score(id=row.id, value=self._second(row), tokens=2) for row in batch]

    def rewards(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of 1 for right answers and 0 for wrong ones."""
        for batch in self._batches("rewards", rows, done):
            yield [Score(id=row.id, value=float(self._right(row.prompt, row.completion)), tokens=2) for row in batch]

    def export(self, model: Artifact, into: Path, merge: bool = False) -> None:
        """Copy the model's files. If `merge` is true, also write a file "merged"."""
        if merge:
            (into / "merged").write_text("yes")
        copy_model(Path(model.path), into)

    def _second(self, row: PairRow) -> float:
        return 0.5 + 0.2 * (self._right(row.prompt, row.second) - self._right(row.prompt, row.first))

    def _right(self, prompt: Sequence[Message], completion: str) -> bool:
        found = final_number(completion)
        return found is not None and found.text == self.gold[_text(prompt)]

    def _batches(self, unit: str, rows: Sequence[R], done: AbstractSet[str]) -> Iterator[list[R]]:
        # As in the real backend, batches are planned over all rows and not only over those that are left.
        batches = plan_batches([1] * len(rows), BATCH)
        for batch in batches if self.of is None else self.of.of(batches):
            chosen = [rows[i] for i in batch]
            if not all(_key(row) in done for row in chosen):
                # What is rewarded during a training is a part of it, and no unit of its own.
                if not self.in_training:
                    self.before_unit(unit)
                yield chosen


def _key(row: object) -> RowKey:
    """Return the key of a row. All three types of rows have an id, and only a prompt has a sample number."""
    return row_key(getattr(row, "id"), getattr(row, "sample", 0))  # noqa: B009


def _skill(model: Artifact) -> float:
    trained = Path(model.path) / SKILL
    return float(json.loads(trained.read_text())) if trained.exists() else UNTRAINED


def _text(messages: Sequence[Message]) -> str:
    return "\n".join(message.content for message in messages)


def _uniform(*parts: str) -> float:
    return int(short_hash(*parts), 16) / 2**64
