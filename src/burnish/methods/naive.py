"""Naive ILR: the same proposals, but labels are replaced at random, without feedback (section 5.2, appendix E.2)."""

from __future__ import annotations

from burnish.config import NaiveMethod
from burnish.methods.sft import learned, start
from burnish.steps.auditing import audited
from burnish.steps.refining import compare, cross_label, replace_at_random
from burnish.steps.setting import Compared, Round, Setting


def naive(setting: Setting, method: NaiveMethod) -> list[Round]:
    """Replace a random share alpha of the labels by proposals in each of K rounds."""
    labels = setting.demonstrations
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        models, proposals = cross_label(setting, labels, k)
        # Nothing is judged. The comparison stage is needed for its screening, which finds the invalid proposals.
        compared = compare(setting, labels, models, proposals, k)
        refined = replace_at_random(setting, labels, proposals, compared, method.alpha, k)
        refined = audited(setting, labels, proposals, refined, k)
        model = learned(setting, refined, f"naive round {k}", last=k == method.rounds)
        sides = Compared(ledger=refined, sides=(labels, *proposals))
        rounds.append(Round(number=k, model=model, demonstrations=refined, compared=sides, relabelled=True))
        labels = refined
    return rounds
