"""Drop instead of replace: train without the rows whose label loses against its proposal."""

from __future__ import annotations

import dataclasses

from burnish.config import DropMethod
from burnish.methods.sft import start
from burnish.steps.acceptance import Judgements, rule_of
from burnish.steps.judging import judge
from burnish.steps.leaving import KEPT, without
from burnish.steps.refining import compare, cross_label, update
from burnish.steps.setting import Compared, Round, Setting, counted


def drop(setting: Setting, method: DropMethod) -> list[Round]:
    """Remove at most alpha of the rows in each of K rounds, those with the most confident comparison first.

    Everything up to the choice of rows is ILR's, and round 1 shares its stages with ILR. The rows that are left keep
    their labels.
    """
    setting = counted(setting, method.of)
    steps, labels, rule = setting.steps, setting.demonstrations, rule_of(method)
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        models, proposals = cross_label(setting, labels, k)
        compared = compare(setting, labels, models, proposals, k)
        judged = judge(steps, setting.annotator, setting.rows, compared, f"round {k} judgements", rule.accept)
        # What ILR would replace is removed.
        replaced = update(
            setting, labels, proposals, Judgements(compared=compared, judged=judged), method.alpha, k, rule
        )
        left = without(setting, labels, replaced, k)
        sides = Compared(ledger=left, sides=(labels, *proposals), judged=judged)
        setting = dataclasses.replace(setting, rows=setting.rows.part(left, KEPT))
        model = steps.train(setting.base, setting.rows, left, setting.train, f"drop round {k}")
        rounds.append(
            Round(number=k, model=model, demonstrations=left, compared=sides, relabelled=True, rows=setting.rows)
        )
        labels = left
    return rounds
