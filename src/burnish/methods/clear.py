"""A confidence gate without cross-labelling (CLEAR's auto-correct, Chen & Mueller, arXiv 2403.12776)."""

from __future__ import annotations

import dataclasses

from burnish.config import ClearMethod
from burnish.methods.sft import start
from burnish.steps.acceptance import Judgements, rule_of
from burnish.steps.auditing import audited
from burnish.steps.judging import judge
from burnish.steps.refining import compare, update
from burnish.steps.setting import Compared, Round, Setting, counted
from burnish.types import DemonstrationSource


def clear(setting: Setting, method: ClearMethod) -> list[Round]:
    """Let a model that was trained on all rows propose for the same rows; accept what the annotator is sure enough of.

    The cap alpha applies as in every method. So a difference between methods does not come from how many labels were
    replaced.
    """
    setting = counted(setting, method.of)
    steps, labels, rule = setting.steps, setting.demonstrations, rule_of(method)
    # `every`, because each round's model proposes in the next round. With `last`, round 0 would not be trained.
    rounds = [start(dataclasses.replace(setting, models="every"), labels)]
    for k in range(1, method.rounds + 1):
        model = rounds[-1].model
        proposals = steps.answer(model, setting.rows, setting.decode, "proposals", DemonstrationSource.PROPOSAL, k)
        # cross=False turns off the check of cross-labelling: here the model has seen the rows on purpose.
        compared = compare(setting, labels, (model,), (proposals,), k, cross=False)
        judged = judge(steps, setting.annotator, setting.rows, compared, f"round {k} judgements", rule.accept)
        refined = update(
            setting, labels, (proposals,), Judgements(compared=compared, judged=judged), method.alpha, k, rule
        )
        refined = audited(setting, labels, (proposals,), refined, k)
        model = steps.train(setting.base, setting.rows, refined, setting.train, f"clear round {k}")
        sides = Compared(ledger=refined, sides=(labels, proposals), judged=judged)
        rounds.append(Round(number=k, model=model, demonstrations=refined, compared=sides, relabelled=True))
        labels = refined
    return rounds
