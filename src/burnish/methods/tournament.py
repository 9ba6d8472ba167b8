"""The annotator's tournament among a label and several proposals (section 7 of the paper, future work)."""

from __future__ import annotations

from burnish.config import TournamentMethod
from burnish.methods.sft import learned, start
from burnish.steps.acceptance import Judgements, rule_of
from burnish.steps.judging import judge
from burnish.steps.refining import cross_label, update
from burnish.steps.sampling import Sampling
from burnish.steps.setting import Compared, Round, Setting, counted
from burnish.steps.tournaments import bouts, bracket, last_bout


def tournament(setting: Setting, method: TournamentMethod) -> list[Round]:
    """Cross-label with k samples for each row. Let the annotator find the best of them, and compare it with the label.

    The last comparison of a row is the one with the label, so its confidence ranks the rows under the cap. A row takes
    as many comparisons as it has challengers, so a budget is spent before the first judgement is made.
    """
    setting = counted(setting, method.of)
    labels, rule, sampling = setting.demonstrations, rule_of(method), Sampling(method.samples, method.temperature)
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        models, samples = cross_label(setting, labels, k, sampling=sampling)
        drawn = bracket(setting, labels, models, samples, method.comparisons, k)
        # The winner so far meets the next challenger, in all rows at once.
        before, verdicts = bouts(setting, drawn, method.comparisons, rule.accept, k)
        final = last_bout(setting, labels, drawn, verdicts, rule.accept, k)
        judged = judge(setting.steps, setting.annotator, setting.rows, final, f"round {k} judgements", rule.accept)
        refined = update(setting, labels, (final,), Judgements(compared=final, judged=judged), method.alpha, k, rule)
        model = learned(setting, refined, f"tournament round {k}", last=k == method.rounds)
        sides = Compared(ledger=refined, sides=(labels, final), before=before, judged=judged)
        rounds.append(Round(number=k, model=model, demonstrations=refined, compared=sides, relabelled=True))
        labels = refined
    return rounds
