"""The reward model that is trained on the comparisons of a run (section 7 of the paper)."""

from __future__ import annotations

from burnish.config import ComparisonsReward
from burnish.errors import DataError
from burnish.steps.acceptance import rule_of
from burnish.steps.artifacts import Rows, read_chosen
from burnish.steps.basic import Steps
from burnish.steps.judging import judge
from burnish.steps.lazy import preference_rows
from burnish.steps.pairing import pair, prefer, sample
from burnish.steps.reward_sources import RewardPlan, Wanted, by_model
from burnish.steps.rewarding import train_rewards, write_parts
from burnish.steps.setting import Compared
from burnish.store.stages import Work
from burnish.types import Artifact


def learned(settings: ComparisonsReward, wanted: Wanted) -> RewardPlan:
    """Train a reward model on comparisons of the answers of the policy with which the round starts.

    The answers are sampled, paired and judged as for DPO, so that both methods can share the comparisons.
    """
    setting, steps, number = wanted.setting, wanted.setting.steps, wanted.number
    method, label = wanted.method.comparing(settings), f"round {number}"
    samples = sample(setting, method, wanted.policy, wanted.labels, number)
    pairs = pair(setting, method, samples, wanted.labels, number)
    judged = judge(
        steps, setting.annotator, setting.rows, pairs, f"{label} judgements of pairs", rule_of(method).accept
    )
    preferred = prefer(setting, setting.annotator, pairs, judged, method, number)
    cut = _pairs_to_reward(steps, setting.rows, preferred, label)
    base = setting.base if settings.model is None else setting.model(f"{wanted.field}.model")
    train = settings.train or setting.train
    model = train_rewards(steps, base, cut, train, settings.centring, f"{label} reward model")
    compared = Compared(ledger=preferred, sides=(wanted.labels, *samples), judged=judged)
    return by_model(setting, model, compared)


def _pairs_to_reward(steps: Steps, rows: Rows, preferred: Artifact, label: str) -> Artifact:
    """Write the preferences of a round as pairs for a reward model.

    The stage raises DataError if the annotator preferred no answer.
    """

    def run(work: Work) -> None:
        pairs = preference_rows(rows.prompts_only(), read_chosen(preferred))
        if not pairs:
            raise DataError(
                f"{steps.label} {label}: no comparison named a better answer, so that there is nothing to train a "
                "reward model on; raise reward.samples or reward.temperature, or use another annotator"
            )
        write_parts(work, [(one, "comparisons") for one in pairs], frozenset())

    inputs = {"preferred": preferred, **rows.inputs}
    return steps.stage("preferences_to_reward", rows.config, inputs, run, f"{label} pairs for the reward model")
