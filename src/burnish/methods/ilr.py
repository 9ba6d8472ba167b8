"""Iterative label refinement (ILR): Algorithm 1 of the paper."""

from __future__ import annotations

import dataclasses

from burnish.config import IlrMethod
from burnish.methods.sft import learned, start
from burnish.perturbations import adversarial
from burnish.steps.acceptance import Judgements, rule_of
from burnish.steps.auditing import audited
from burnish.steps.distrusting import ask_about_edits, check_affords
from burnish.steps.judging import judge
from burnish.steps.refining import Parts, compare, cross_label, update
from burnish.steps.sampling import Sampling
from burnish.steps.setting import Compared, Round, Setting, counted
from burnish.steps.stopping import check_has_evidence, ended, goes_on
from burnish.steps.voting import vote
from burnish.types import Artifact


def ilr(setting: Setting, method: IlrMethod) -> list[Round]:
    """Refine the labels for K rounds, or with `rounds: auto` until the annotator no longer knows.

    The model of each round is trained from the base model, on all rows with their refined labels. Raises ConfigError if
    `rounds: auto` does not fit the annotator or the rule of acceptance, or if the limit on comparisons is too small for
    `distrust`.
    """
    setting = dataclasses.replace(counted(setting, method.of), per_row=method.comparisons_per_row)
    steps, labels, rule, last = setting.steps, setting.demonstrations, rule_of(method), method.last_round
    check_affords(setting.comparisons, setting.per_row)
    if method.stops_itself:
        check_has_evidence(rule, setting.annotator)
    rounds = [start(setting, labels)]
    for k in range(1, last + 1):
        # Lines 2 to 8: each model answers the rows that it was not trained on. There is no cross-labelling of proposals
        # from elsewhere, because nobody knows what their source has seen.
        given, cross = setting.proposals, method.cross_label and setting.proposals is None
        models, proposals = ((), (given,)) if given else _proposed(setting, labels, method, k)
        compared = compare(setting, labels, models, proposals, k, cross)
        judged = judge(steps, setting.annotator, setting.rows, compared, f"round {k} judgements", rule.accept)
        judgements, edited = _distrusted(setting, method, Judgements(compared=compared, judged=judged), k)
        # Lines 11 to 16: replace at most alpha of all labels, the most confident first.
        refined = update(setting, labels, proposals, judgements, method.alpha, k, rule)
        if method.stops_itself:
            refined, go_on = goes_on(setting, labels, refined, k)
            if go_on is None:
                return rounds
            if not go_on:
                model = learned(setting, labels, f"ilr round {k - 1}", last=True)
                return rounds + ended(setting, model, refined, (labels, *proposals), k, last)
        refined = audited(setting, labels, proposals, refined, k)
        model = learned(setting, refined, f"ilr round {k}", last=k == last)
        sides = Compared(ledger=refined, sides=(labels, *proposals), before=edited, judged=judged)
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


def _distrusted(setting: Setting, method: IlrMethod, judgements: Judgements, k: int) -> tuple[Judgements, Parts]:
    """Ask the annotator about edits of the proposals that it prefers (SEAM inside ILR).

    Returns the judgements with the doubts, and the stage with the comparisons of edits. Without `distrust`, nothing is
    asked.
    """
    if method.distrust is None:
        return judgements, ()
    source = adversarial.of_proposals(method.distrust, setting.steps)
    edited = ask_about_edits(setting, source, judgements, rule_of(method), k)
    return dataclasses.replace(judgements, doubts=edited.doubts), (edited.pairs,)
