"""Direct preference optimisation over rounds, and its variants sDPO and wsDPO (section 3, appendices C and E.4)."""

from __future__ import annotations

from burnish.annotators.unswapped import unswapped
from burnish.config import DpoMethod
from burnish.methods.ilr import ilr
from burnish.methods.sft import start
from burnish.steps.acceptance import rule_of
from burnish.steps.judging import judge
from burnish.steps.pairing import pair, prefer, sample
from burnish.steps.setting import Compared, Round, Setting


def dpo(setting: Setting, method: DpoMethod) -> list[Round]:
    """Train K times on the most confident comparisons of the policy's own answers. The labels never change."""
    steps = setting.steps
    # `after` refines the labels first. DPO then continues from the last model of ILR (section 7, future work).
    rounds = ilr(setting, method.after) if method.after else [start(setting, setting.demonstrations)]
    policy, labels = rounds[-1].model, rounds[-1].demonstrations
    writer = policy
    # The released code scores DPO pairs without swapping, so that every score is 0.5 up to rounding. `compat` repeats
    # this, so that its effect can be measured.
    annotator = unswapped(setting.annotator) if setting.compat.unswapped_dpo else setting.annotator
    for k in range(len(rounds), len(rounds) + method.rounds):
        # The policy that starts the round writes the answers and is the reference of this round's training (released
        # code). With `pairs_beta`, the policy with that beta writes the answers instead (section 6).
        samples = sample(setting, method, writer, labels, k)
        pairs = pair(setting, method, samples, labels, k)
        judged = judge(steps, annotator, setting.rows, pairs, f"round {k} judgements of pairs", rule_of(method).accept)
        preferred = prefer(setting, annotator, pairs, judged, method, k)
        training = method.training(setting.train)
        objective = method.objective
        policy = steps.train_preferences(policy, setting.rows, preferred, training, objective, f"dpo round {k}")
        if method.pairs_beta is None:
            writer = policy
        else:
            objective = objective.model_copy(update={"beta": method.pairs_beta})
            writer = steps.train_preferences(writer, setting.rows, preferred, training, objective, f"writer round {k}")
        sides = Compared(ledger=preferred, sides=(labels, *samples), judged=judged)
        rounds.append(Round(number=k, model=policy, demonstrations=labels, compared=sides))
    return rounds
