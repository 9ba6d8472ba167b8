"""Iterative label refinement: Algorithm 1 of the paper."""

from __future__ import annotations

from burnish.config import IlrMethod
from burnish.methods.refinement import compare, cross_label, judge, update
from burnish.methods.setting import Refined, Round, Setting
from burnish.methods.sft import start


def ilr(setting: Setting, method: IlrMethod) -> list[Round]:
    """Refine the labels for K rounds; each round's model is trained from the base on all refined labels."""
    labels = setting.demonstrations
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        models, proposals = cross_label(setting, labels, k)
        compared = compare(setting, labels, models, proposals, k)
        judged = judge(setting, compared, k)
        refined = update(setting, labels, proposals, compared, judged, method.alpha, k)
        model = setting.steps.train(setting.base, setting.rows, refined, setting.train, f"ilr round {k}")
        how = Refined(previous=labels, proposals=proposals, stage=refined)
        rounds.append(Round(number=k, model=model, demonstrations=refined, refined=how))
        labels = refined
    return rounds
