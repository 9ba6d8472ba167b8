"""Reinforcement learning in whole experiments on the fake backend: rewards, curves, rounds, what cannot work."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from experiment import ROWS, Poor, Undecided, Wordy, gold, measured, small
from pydantic import ValidationError

from burnish.backends.fake import FakeBackend
from burnish.config import Decoding, RlMethod
from burnish.errors import BackendError, ConfigError, DataError
from burnish.lab.running import plan
from burnish.lab.timing import trained_models
from burnish.protocols import SamplingKey, Score
from burnish.report.words import found_here
from burnish.steps.artifacts import TRAINING, read_json
from burnish.steps.reinforcing import read_policy_curve
from burnish.store.stages import Store
from burnish.types import Artifact, Completion, Prompt

ORACLE = {"annotator": {"kind": "oracle"}}


def rl(**changes: Any) -> dict[str, Any]:
    return {"kind": "rl", "reward": "checker", "steps": 4, "prompts": 8, "samples": 4, **changes}


def test_a_policy_learns_from_the_checker(tmp_path: Path) -> None:
    found = measured(small(methods=[{"kind": "sft"}, rl(rounds=2)]), tmp_path, Poor(gold()))
    before, after = (found.outcome("rl", number).round.model for number in (0, 2))
    assert before == found.outcome("sft", 0).round.model
    assert skill(after) == pytest.approx(skill(before) + 2 * 4 * 0.02)
    for number in (1, 2):
        curve = read_policy_curve(found.outcome("rl", number).training)
        assert [point.step for point in curve] == [1, 2, 3, 4]
        assert [point.kl for point in curve] == pytest.approx([0, 0.1, 0.2, 0.3])
        run = found.run("rl", number)
        assert run.counts["train_rows"] == 4 * 8
        # Labels stay as they are.
        assert run.metrics["label_accuracy"] == found.run("sft", 0).metrics["label_accuracy"]


def test_the_results_say_where_each_policy_lies(tmp_path: Path) -> None:
    methods = [{"kind": "sft"}, rl(name="careful", beta=0.3), rl(name="bold")]
    found = measured(small(methods=methods), tmp_path, Poor(gold()))
    store = Store(tmp_path / "store")
    folders = {one.label: one.folder for one in trained_models(found.executor.records, store).models}
    # Both methods are of one kind, so that their names tell them apart.
    for name in ("careful", "bold"):
        model = found.outcome(name, 1).round.model
        assert Path(folders[f"seed 0 {name} round 1"]) == Path(model.path).resolve()
    assert Path(folders["seed 0 sft"]) == Path(found.outcome("sft", 0).round.model.path).resolve()
    assert Path(folders["seed 0 weak supervisor"]).is_dir()


class Seeded(Poor):
    """Remembers the seeds of its trainings with RL."""

    seeds: list[int]

    def train_policy(self, policy: Any, prompts: Any, plan: Any, rewards: Any, seed: int, into: Path) -> Any:
        self.seeds.append(seed)
        return super().train_policy(policy, prompts, plan, rewards, seed, into)


def test_each_round_takes_the_prompts_in_another_order(tmp_path: Path) -> None:
    backend = Seeded(gold())
    backend.seeds = []
    found = measured(small(methods=[rl(rounds=3), rl(name="one")]), tmp_path, backend)
    # The first round is the same whether others follow or not.
    assert found.outcome("rl", 1).round.model == found.outcome("one", 1).round.model
    assert len(backend.seeds) == len(set(backend.seeds)) == 3


def skill(model: Any) -> float:
    return float((Path(model.path) / "skill.json").read_text())


def test_rewards_are_standardised_on_samples_of_the_first_policy(tmp_path: Path) -> None:
    found = measured(small(methods=[rl()]), tmp_path, Poor(gold()))
    (scale,) = read_json(found.outcome("rl", 1).training, TRAINING)["scales"]
    # A share p of right answers has the standard deviation sqrt(p (1 - p)).
    right = round(scale["mean"] * ROWS)
    assert scale["mean"] == pytest.approx(right / ROWS)
    assert scale["sd"] == pytest.approx((scale["mean"] * (1 - scale["mean"])) ** 0.5)
    first = read_policy_curve(found.outcome("rl", 1).training)[0]
    assert first.accuracy is not None
    assert first.reward == pytest.approx((first.accuracy - scale["mean"]) / scale["sd"])


def test_only_differing_rewards_move_a_policy_and_each_source_gives_them(tmp_path: Path) -> None:
    reward: dict[str, Any]
    for name, reward in SOURCES.items():
        found = measured(small(methods=[rl(reward=reward)], supervision=ORACLE), tmp_path / name, Wordy(gold()))
        before, after = (found.outcome("rl", number).round.model for number in (0, 1))
        # Each source knows what is right, so that the policy learns. Its skill is at most 0.95.
        assert skill(after) > skill(before) or skill(before) > 0.9, name
        assert ("rewards_asked" in found.run("rl", 1).counts) == (name in {"annotator", "sum"})


class Again(Wordy):
    """Says the samples that give the scale of rewards in other words than its first answers."""

    stage = ""

    def generate(
        self, model: Artifact, prompts: Sequence[Prompt], settings: Decoding, key: SamplingKey, done: AbstractSet[str]
    ) -> Iterator[Sequence[Completion]]:
        self.stage = key.stage
        yield from super().generate(model, prompts, settings, key, done)

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        answer = super()._answer(prompt, skill, model)
        return dataclasses.replace(answer, text=f"again {answer.text}") if self.stage == "rewards" else answer


def test_the_comparisons_that_give_the_scale_of_an_annotators_rewards_are_counted(tmp_path: Path) -> None:
    methods = [rl(reward="annotator"), rl(name="raw", reward="annotator", standardize=False), rl(name="checked")]
    found = measured(small(methods=methods, supervision=ORACLE), tmp_path, Again(gold()))
    # One sample of each row is compared with the first answer to it.
    for name, scale in (("rl", ROWS), ("raw", 0), ("checked", 0)):
        record = read_json(found.outcome(name, 1).training, TRAINING)
        assert record["asked_for_scale"] == scale
        assert found.run(name, 1).counts.get("rewards_asked", 0) == record["asked"] + scale


SOURCES: dict[str, Any] = {
    "checker": "checker",
    "annotator": "annotator",
    "model": {"kind": "reward_model", "model": "builtin:strong"},
    "comparisons": {"kind": "comparisons"},
    "sum": {"kind": "sum", "of": [{"reward": {"kind": "checker"}}, {"weight": 2, "reward": {"kind": "annotator"}}]},
}


def test_a_reward_model_learns_from_comparisons_under_the_budget(tmp_path: Path) -> None:
    """DPO with the same settings compares the same answers, so both share the stages up to the judgements."""
    dpo = {"kind": "dpo", "rounds": 1, "samples": 2, "pairs": "differing", "keep": 1.0}
    config = small(methods=[dpo, rl(reward={"kind": "comparisons"})], budget={"kind": "equal", "comparisons": 5})
    found = measured(config, tmp_path, Poor(gold()))
    ours, theirs = found.run("rl", 1).counts, found.run("dpo", 1).counts
    assert ours["compared"] == theirs["compared"] == 5
    assert ours["pairs_trained_on"] == theirs["pairs_trained_on"] == ours["accepted"]
    rl_round, dpo_round = (found.outcome(name, 1).round.compared for name in ("rl", "dpo"))
    assert rl_round == dpo_round
    assert found.stages.count("train_rewards") == 1


@pytest.mark.slow
def test_rl_goes_on_from_the_last_model_of_refinement(tmp_path: Path) -> None:
    refine = {"kind": "ilr", "rounds": 2}
    found = measured(small(methods=[{"kind": "sft"}, refine, rl(after=refine)]), tmp_path, Poor(gold()))
    assert [run.round for run in found.results.runs if run.method == "rl"] == [0, 1, 2, 3]
    for number in range(3):
        assert found.outcome("rl", number).round.model == found.outcome("ilr", number).round.model
    trained = found.executor.store.done("train_policy", found.outcome("rl", 3).round.model.fingerprint)
    assert trained is not None
    assert trained.payload["inputs"]["policy"] == found.outcome("ilr", 2).round.model.fingerprint


# --- what cannot work


def test_a_training_stops_when_the_kl_passes_the_bound_and_says_so(tmp_path: Path) -> None:
    found = measured(small(methods=[rl(steps=50, max_kl=0.25)]), tmp_path, Poor(gold()))
    run = found.run("rl", 1)
    # The fake's KL grows by 0.1 nats a step: 0, 0.1, 0.2, 0.3.
    assert (run.counts["rl_steps"], run.counts["stopped_at_kl"]) == (4, 1)
    assert [point.step for point in run.rl_curve] == [1, 2, 3, 4]
    assert "rl, round 1, seed 0 stopped after 4 steps, because its KL passed the bound." in found_here(
        found.results, "rl-reward"
    )


def test_the_curve_in_the_results_is_that_of_the_training(tmp_path: Path) -> None:
    found = measured(small(methods=[rl(steps=230, max_kl=None)]), tmp_path, Poor(gold()))
    curve = found.run("rl", 1).rl_curve
    assert len(curve) <= 100
    assert curve[-1].step == found.run("rl", 1).counts["rl_steps"] == 230
    assert found.run("rl", 1).counts["stopped_at_kl"] == 0


def test_a_policy_that_never_ends_its_answers_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of 40 sampled answers of the policy ends.*raise decode\.max_new_tokens"):
        measured(small(methods=[rl()], supervision=GOLD), tmp_path, Endless(gold()))
    with pytest.raises(DataError, match=r"in none of 4 steps did .* \(100% of the answers were cut\)"):
        measured(small(methods=[rl(standardize=False)], supervision=GOLD), tmp_path / "raw", Endless(gold()))


GOLD = {**ORACLE, "demonstrations": "gold"}


class Endless(FakeBackend):
    """Never ends an answer."""

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        return dataclasses.replace(super()._answer(prompt, skill, model), finished=False)


class Rewarding(Poor):
    """Gives every answer the same reward."""

    value = 3.0

    def rewards(self, model: Any, rows: Any, done: Any) -> Any:
        for batch in self._batches("rewards", rows, done):
            yield [Score(id=row.id, value=self.value, tokens=2) for row in batch]


class NotANumber(Rewarding):
    """Gives no answer a number as its reward."""

    value = math.nan


def test_rewards_that_are_all_equal_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in none of 4 steps did the answers to a prompt have different rewards"):
        measured(small(methods=[rl(reward=SOURCES["model"])]), tmp_path, Rewarding(gold()))


@pytest.mark.parametrize("standardize", [True, False])
def test_a_reward_that_is_no_number_is_named(tmp_path: Path, standardize: bool) -> None:
    with pytest.raises(DataError, match=r"answer \w+(#\d+)?: the reward model gives nan; the model is damaged"):
        measured(small(methods=[rl(reward=SOURCES["model"], standardize=standardize)]), tmp_path, NotANumber(gold()))


def test_fewer_rows_than_a_step_has_prompts_are_found_before_anything_runs(tmp_path: Path) -> None:
    config = small(methods=[{"kind": "sft"}, rl(prompts=41)])
    with pytest.raises(DataError, match=r"methods\.1: half U .*prompts: 41 found, but there are 40 rows.*at most 40"):
        plan(config, tmp_path)
    assert not list(tmp_path.glob("stages/*"))
    plan(small(methods=[rl(prompts=40)]), tmp_path)


def test_a_batch_that_the_answers_do_not_fill_is_refused() -> None:
    with pytest.raises(
        ValidationError, match=r"batch_size: 5 found, but a step has 8 prompts x 4 samples = 32 answers"
    ):
        small(methods=[rl(batch_size=5)])
    assert RlMethod.model_validate(rl(batch_size=8, algorithm={"kind": "grpo", "passes": 3})).updates == 4 * 3


def test_an_annotator_that_asks_people_gives_no_rewards(tmp_path: Path) -> None:
    vote = {"kind": "majority", "of": [{"kind": "oracle"}, {"kind": "likelihood", "model": "builtin:judge-3"}]}
    with pytest.raises(ConfigError, match=r"the annotator majority does not judge answers one by one"):
        plan(small(methods=[rl(reward="annotator")], supervision={"annotator": vote}), tmp_path)


def test_comparisons_without_a_winner_train_no_reward_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no comparison named a better answer.*raise reward\.samples"):
        measured(small(methods=[rl(reward={"kind": "comparisons"})]), tmp_path, Undecided(gold()))


def test_a_backend_that_cannot_train_policies_is_named(tmp_path: Path) -> None:
    class Without(Poor):
        train_policy = None  # pyright: ignore[reportAssignmentType]

    with pytest.raises(BackendError, match="Without has no method train_policy"):
        measured(small(methods=[rl()]), tmp_path, Without(gold()))
