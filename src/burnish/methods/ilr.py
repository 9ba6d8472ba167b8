"""Iterative label refinement (ILR): Algorithm 1 of the paper."""

from __future__ import annotations

from burnish.config import IlrMethod
from burnish.methods.sft import learned, start
from burnish.steps.auditing import audited
from burnish.steps.judging import judge
from burnish.steps.refining import compare, cross_label, rule_of, update
from burnish.steps.setting import Compared, Round, Setting


def ilr(setting: Setting, method: IlrMethod) -> list[Round]:
    """Refine the labels for K rounds.

    The model of each round is trained from the base model, on all rows with their refined labels.
    """
    steps, labels, rule = setting.steps, setting.demonstrations, rule_of(method)
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        # Lines 2 to 8: each model answers the rows that it was not trained on.
        models, proposals = cross_label(setting, labels, k, method.splits, method.cross_label)
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
