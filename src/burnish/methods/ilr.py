"""Iterative label refinement (ILR): Algorithm 1 of the paper."""

from __future__ import annotations

from burnish.config import IlrMethod
from burnish.methods.sft import learned, start
from burnish.steps.auditing import audited
from burnish.steps.judging import judge
from burnish.steps.refining import Parts, compare, cross_label, rule_of, update
from burnish.steps.sampling import Sampling
from burnish.steps.setting import Compared, Round, Setting, counted
from burnish.steps.voting import vote
from burnish.types import Artifact


def ilr(setting: Setting, method: IlrMethod) -> list[Round]:
    """Refine the labels for K rounds.

    The model of each round is trained from the base model, on all rows with their refined labels.
    """
    setting = counted(setting, method.of)
    steps, labels, rule = setting.steps, setting.demonstrations, rule_of(method)
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        # Lines 2 to 8: each model answers the rows that it was not trained on.
        models, proposals = _proposed(setting, labels, method, k)
        compared = compare(setting, labels, models, proposals, k, method.cross_label)
        judged = judge(steps, setting.annotator, setting.rows, compared, f"round {k} judgements", rule.accept)
        # Lines 11 to 16: replace at most alpha of all labels, the most confident first.
        refined = update(setting, labels, proposals, compared, judged, method.alpha, k, rule)
        refined = audited(setting, labels, proposals, refined, k)
        model = learned(setting, refined, f"ilr round {k}", last=k == method.rounds)
        sides = Compared(ledger=refined, sides=(labels, *proposals))
        rounds.append(Round(number=k, model=model, demonstrations=refined, compared=sides, relabelled=True))
        labels = refined
    return rounds


def _proposed(setting: Setting, labels: Artifact, method: IlrMethod, k: int) -> tuple[Parts, Parts]:
    """Return the models of a round and their proposals. Several samples vote first (section 7, future work)."""
    if method.samples == 1:
        return cross_label(setting, labels, k, method.splits, method.cross_label)
    sampling = Sampling(method.samples, method.temperature)
    models, samples = cross_label(setting, labels, k, method.splits, method.cross_label, sampling)
    return models, (vote(setting, samples, k),)
